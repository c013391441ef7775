"""Assignments whose journals come in pieces."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs
from onward_protocol.errors import CloseCode, ProtocolError
from onward_protocol.holdings import Difference
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Ack,
    Assign,
    Beat,
    Cancel,
    Checkpoint,
    Drain,
    Due,
    Fence,
    GoAway,
    Journal,
    Segment,
    Wake,
    Welcome,
)
from onward_protocol.session import FromEngine

from tests.unit.protocol.pair import KIB, Pair, held

HEAD = Assign("run_a", 3, "shop/order", attempt=0, ord=1, journal_follows=True)
FIRST = Journal("run_a", 3, (Segment(1, 1, b"one"), Segment(1, 2, b"two")), (Due(1, "nap"),))
LAST = Journal("run_a", 3, (Segment(2, 1, b"three"),), (Due(2, "nap"),), last=True)
WHOLE = Assign(
    "run_a",
    3,
    "shop/order",
    attempt=0,
    ord=1,
    segments=(*FIRST.segments, *LAST.segments),
    entries=(*FIRST.entries, *LAST.entries),
)


def arrived(pair: Pair, *frames: Assign | Journal | Wake | Cancel | Fence | GoAway | Ack) -> list[FromEngine]:
    for frame in frames:
        pair.engine.send(frame)
    pair.exchange()
    return [frame for frame in pair.take_at_worker() if not isinstance(frame, Welcome)]


def beat(pair: Pair) -> Beat:
    """Let the worker beat once, and return what the engine gets; both ends agree."""
    pair.take_at_engine()
    pair.now_ms += 5_000
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    (sent,) = pair.take_at_engine()
    assert isinstance(sent, Beat)
    return sent


def test_a_run_is_handed_over_when_the_last_piece_is_here() -> None:
    pair = Pair().open()
    assert arrived(pair, HEAD, FIRST) == []
    assert arrived(pair, LAST) == [WHOLE]


def test_other_runs_go_on_between_the_pieces() -> None:
    pair = Pair().open()
    other = replace_run(HEAD, "run_b")
    assert arrived(pair, HEAD, FIRST, other, Ack("run_c", 1, 7)) == [Ack("run_c", 1, 7)]
    assert arrived(pair, replace_run(LAST, "run_b"), LAST) == [
        Assign("run_b", 3, "shop/order", attempt=0, ord=1, segments=LAST.segments, entries=LAST.entries),
        WHOLE,
    ]


def replace_epoch(epoch: int) -> Assign:
    return structs.replace(HEAD, epoch=epoch, journal_follows=False)


def replace_run(frame: Assign | Journal, run: str) -> Assign | Journal:
    return structs.replace(frame, run=run)


def test_what_happens_to_a_run_meanwhile_comes_behind_its_assignment() -> None:
    pair = Pair().open()
    wake, cancel = Wake("run_a", 3, (Due(3, "nap"),)), Cancel("run_a", 3, 4, 1_000)
    assert arrived(pair, HEAD, wake, FIRST, cancel) == []
    assert arrived(pair, LAST) == [WHOLE, wake, cancel]


def test_a_slot_is_spent_when_the_assignment_begins_and_none_is_granted_twice_while_it_comes() -> None:
    pair = Pair(free_slots=4).open()
    arrived(pair, HEAD, FIRST)
    assert beat(pair).granted == 4
    assert pair.engine.credit == 3
    arrived(pair, LAST)
    pair.free_slots = 3
    pair.holdings.put(held(epoch=3, known=2))
    assert (beat(pair).granted, pair.engine.credit) == (4, 3)


def test_the_run_is_expected_in_the_digest_only_when_its_journal_is_through() -> None:
    pair = Pair().open()
    arrived(pair, HEAD, FIRST, Wake("run_a", 3, (Due(3, "nap"),)))
    assert beat(pair).count == 0
    assert pair.engine.mirror.knows("run_a", 3)
    arrived(pair, LAST)
    pair.holdings.put(held(epoch=3, known=3))
    assert beat(pair).count == 1


def test_an_assignment_that_was_lost_with_its_last_piece_is_found_by_the_digest() -> None:
    pair = Pair().open()
    arrived(pair, HEAD, FIRST, LAST)
    pair.take_at_engine()
    pair.now_ms += 5_000
    pair.worker.tick(pair.now_ms)  # the worker has forgotten it
    pair.exchange()
    assert [frame.lost for frame in pair.at_engine if isinstance(frame, Difference)] == [(held(epoch=3, known=2),)]


def test_a_fence_takes_back_what_is_not_whole_and_pieces_behind_it_are_ignored() -> None:
    pair = Pair().open()
    fence = Fence("run_a", 3)
    assert arrived(pair, HEAD, FIRST, fence, LAST) == [fence]
    assert not pair.engine.mirror.knows("run_a", 3)
    assert beat(pair).count == 0


@pytest.mark.parametrize("end", [Fence("run_a", 3), replace_epoch(4)], ids=["fenced", "assigned anew"])
def test_what_is_taken_back_before_it_is_whole_gives_its_slot_back(end: Fence | Assign) -> None:
    pair = Pair(free_slots=4).open()
    arrived(pair, HEAD, Wake("run_a", 3, (Due(3, "nap"),), slot=True), FIRST, end)
    if isinstance(end, Assign):
        pair.free_slots = 3
        pair.holdings.put(held(epoch=4))
    beat(pair)
    assert pair.engine.credit == pair.free_slots


def test_a_fence_for_an_older_epoch_does_not() -> None:
    pair = Pair().open()
    fence = Fence("run_a", 2)
    assert arrived(pair, HEAD, FIRST, fence, LAST) == [fence, WHOLE]
    pair.holdings.put(held(epoch=3, known=2))
    beat(pair)


def test_a_newer_assignment_takes_the_place_of_an_unfinished_one() -> None:
    pair = Pair().open()
    newer = Assign("run_a", 4, "shop/order", attempt=0, ord=1)
    assert arrived(pair, HEAD, FIRST, newer, LAST) == [newer]


def test_after_the_next_hello_nothing_of_it_is_handed_over() -> None:
    """The Hello did not list the run, so somebody else may have it."""
    pair = Pair().open()
    arrived(pair, HEAD, FIRST, GoAway(0))
    pair.worker.retire()
    assert arrived(pair, LAST) == []


def test_a_journal_goes_on_after_go_away_and_behind_a_drain() -> None:
    pair = Pair().open()
    arrived(pair, HEAD)
    pair.worker.send(Drain("shutdown"))
    pair.exchange()
    assert arrived(pair, FIRST, GoAway(0), LAST) == [GoAway(0), WHOLE]


def test_large_pieces_keep_their_order_among_themselves() -> None:
    pair = Pair().open()
    pieces = [Journal("run_a", 3, (Segment(1, n, bytes(size * KIB)),)) for n, size in enumerate((1, 900, 2, 700, 3), 1)]
    (whole,) = arrived(pair, HEAD, *pieces, LAST)
    assert isinstance(whole, Assign)
    assert [segment.seq for segment in whole.segments] == [1, 2, 3, 4, 5, 1]


def test_a_checkpoint_proves_that_the_journal_has_arrived() -> None:
    pair = Pair().open()
    arrived(pair, HEAD, FIRST, LAST)
    pair.worker.send(Checkpoint("run_a", 3, 1, b"\x90"))
    pair.exchange()
    assert [(item.run, item.last_seq, item.known) for item in pair.engine.mirror.holdings] == [("run_a", 1, 2)]


def test_a_journal_larger_than_any_run_may_have_is_refused() -> None:
    pair = Pair(limits=replace(Limits(), frame_bytes_max=100 * KIB)).open()
    piece = Journal("run_a", 3, (Segment(1, 1, bytes(40 * KIB)),))
    with pytest.raises(ProtocolError, match="a journal of more than") as caught:
        arrived(pair, HEAD, piece, piece, piece)
    assert caught.value.close_code == CloseCode.TOO_LARGE


def test_the_engine_keeps_nothing_of_a_journal_that_was_written() -> None:
    pair = Pair().open()
    arrived(pair, HEAD, FIRST, LAST)
    assert [change for _, change in pair.engine.mirror._pending] == [held(epoch=3, known=2)]

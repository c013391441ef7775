"""Which moves a run may make, and what its frames are worth."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from onward_engine.model import Run, Status
from onward_engine.rules import lifecycle
from onward_protocol.messages import Failure

RUN = Run(id="run_1", function="shop/work", ord=1)
ASSIGNED = lifecycle.claimed(RUN, "wrk_a", 3, 1_000)


def test_no_run_leaves_a_terminal_state() -> None:
    assert [status for status, moves in lifecycle.MOVES.items() if not moves] == [s for s in Status if s.is_terminal]


def test_every_state_that_is_not_terminal_has_a_way_to_an_end() -> None:
    reached = {Status.QUEUED}
    while more := {to for status in reached for to in lifecycle.MOVES[status]} - reached:
        reached |= more
    assert reached == set(Status)


def test_an_illegal_move_is_our_bug_and_named() -> None:
    with pytest.raises(lifecycle.IllegalMove, match="run_1: queued -> completed"):
        lifecycle.completed(RUN, b"", 1)


def test_only_a_claim_raises_the_epoch() -> None:
    moved = [
        lifecycle.orphaned(ASSIGNED),
        lifecycle.parked(ASSIGNED),
        lifecycle.readied(ASSIGNED),
        lifecycle.requeued(ASSIGNED),
        lifecycle.resumed(lifecycle.orphaned(ASSIGNED), "wrk_a", 4),
        lifecycle.completed(ASSIGNED, b"", 1),
        lifecycle.failed(ASSIGNED, Failure("E", ""), 1),
        lifecycle.cancelled(ASSIGNED, "", 1),
    ]
    assert {run.epoch for run in moved} == {ASSIGNED.epoch}
    assert lifecycle.claimed(lifecycle.orphaned(ASSIGNED), "wrk_b", 1, 2_000).epoch == ASSIGNED.epoch + 1


def test_a_run_has_started_when_it_was_claimed_first() -> None:
    again = lifecycle.claimed(lifecycle.requeued(ASSIGNED), "wrk_b", 1, 9_000)
    assert (again.started_at_ms, again.seq) == (1_000, 0)


@pytest.mark.parametrize(
    ("epoch", "seq", "instance", "verdict"),
    [
        (1, 3, "wrk_a", "applied"),
        (1, 2, "wrk_a", "duplicate"),
        (1, 4, "wrk_a", "gap"),
        (0, 3, "wrk_a", "stale"),
        (2, 3, "wrk_a", "stale"),
        (1, 3, "wrk_b", "stale"),
    ],
)
def test_a_frame_counts_only_if_it_is_the_holders_next(epoch: int, seq: int, instance: str, verdict: str) -> None:
    assert lifecycle.verdict(replace(ASSIGNED, seq=2), epoch, seq, instance) == verdict


def test_a_run_without_a_holder_hears_nobody() -> None:
    queued = replace(lifecycle.requeued(ASSIGNED), seq=2)
    assert lifecycle.verdict(queued, 1, 3, "wrk_a") == "stale"
    assert lifecycle.verdict(queued, 1, 2, "wrk_a") == "duplicate"


def test_an_older_connection_never_replaces_a_newer_one() -> None:
    assert lifecycle.resumed(ASSIGNED, "wrk_a", 2).generation == 3
    assert lifecycle.held(lifecycle.parked(ASSIGNED), "wrk_a", 5).generation == 5


def test_a_run_parks_only_if_something_will_wake_it() -> None:
    assert lifecycle.after_parking(ASSIGNED, has_open_waits=True) is Status.PARKED
    assert lifecycle.after_parking(ASSIGNED, has_open_waits=False) is Status.QUEUED
    assert lifecycle.after_parking(replace(ASSIGNED, pos=1), has_open_waits=True) is Status.READY

"""Two sessions on a perfect wire."""

from __future__ import annotations

from dataclasses import replace

import pytest
from onward_protocol.codec import decode_engine_message, decode_worker_message, encode, encode_message
from onward_protocol.errors import CloseCode, LocalMisuse, ProtocolError
from onward_protocol.holdings import Difference
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Ack,
    Assign,
    Beat,
    BeatAck,
    Bye,
    Checkpoint,
    Drain,
    Fence,
    GoAway,
    Hello,
    Parked,
    Part,
    Refuse,
    Return,
    RunCompleted,
    Wake,
    Welcome,
)
from onward_protocol.session import EngineSession
from onward_protocol.states import Phase

from tests.unit.protocol.pair import KIB, Pair, assign, checkpoint, held, hello


def test_a_hello_is_answered_and_the_first_beat_grants_the_free_slots() -> None:
    pair = Pair().open()
    assert [type(frame) for frame in pair.at_engine] == [Hello, Beat]
    assert [type(frame) for frame in pair.at_worker] == [Welcome]
    assert (pair.worker.phase, pair.engine.phase) == (Phase.OPEN, Phase.OPEN)
    assert (pair.worker.session_id, pair.worker.generation, pair.engine.credit) == ("ses_1", 1, 4)


def test_an_assignment_spends_a_credit_and_the_next_beat_does_not_bring_it_back() -> None:
    pair = Pair().open()
    pair.engine.send(assign())
    assert pair.engine.credit == 3
    pair.exchange()
    pair.holdings.put(held())
    pair.free_slots = 3
    pair.worker.beat_soon()
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    assert (pair.engine.granted, pair.engine.spent, pair.engine.credit) == (4, 1, 3)


def test_a_beat_that_crosses_an_assignment_does_not_grant_its_slot_again() -> None:
    pair = Pair().open()
    pair.worker.beat_soon()
    pair.worker.tick(pair.now_ms)
    pair.engine.send(assign())
    pair.exchange()
    assert pair.engine.credit == 3


def test_a_freed_slot_is_granted_by_a_beat_that_the_owner_asks_for() -> None:
    pair = Pair(free_slots=0).open()
    assert pair.engine.credit == 0
    pair.free_slots = 1
    pair.worker.beat_soon()
    assert pair.worker.deadline_ms == pair.now_ms
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    assert pair.engine.credit == 1


def test_a_wake_takes_a_slot_only_if_it_says_so() -> None:
    pair = Pair(hello(held=(held(),))).open()
    pair.engine.send(Wake("run_a", 1, (), slot=False))
    assert pair.engine.credit == 4
    pair.engine.send(Wake("run_a", 1, (), slot=True))
    assert pair.engine.credit == 3


def test_small_frames_of_one_moment_travel_in_one_message() -> None:
    pair = Pair().open()
    for seq in range(1, 51):
        pair.worker.send(checkpoint(seq=seq))
    (message,) = pair.worker.messages_to_send(pair.now_ms)
    assert sum(isinstance(frame, Checkpoint) for frame in decode_worker_message(message)) == 50


def test_no_message_is_larger_than_what_may_be_sent() -> None:
    limits = replace(Limits(), send_bytes_max=150 * KIB)
    pair = Pair(limits=limits).open().on_a_good_line()
    for seq in range(1, 6):
        pair.worker.send(checkpoint(seq=seq, size=100 * KIB))
    messages = pair.worker.messages_to_send(pair.now_ms)
    assert max(map(len, messages)) <= limits.send_bytes_max
    frames = [frame for message in messages for frame in decode_worker_message(message)]
    assert [frame.seq for frame in frames if isinstance(frame, Checkpoint)] == [1, 2, 3, 4, 5]


def test_on_a_good_line_a_frame_of_the_threshold_travels_whole_and_one_byte_more_in_parts() -> None:
    around = len(encode(assign(size=200 * KIB))) - 200 * KIB
    size = Limits().part_threshold_bytes - around
    for extra, kind in ((0, Assign), (1, Part)):
        pair = Pair().open().on_a_good_line()
        pair.engine.send(assign(size=size + extra))
        assert type(decode_engine_message(pair.engine.messages_to_send(pair.now_ms)[0])[0]) is kind


def test_a_large_frame_arrives_whole() -> None:
    pair = Pair().open()
    pair.engine.send(assign(size=5_000 * KIB))
    pair.exchange()
    assert pair.at_worker[-1] == assign(size=5_000 * KIB)


def test_no_more_is_under_way_than_the_peer_answers_for() -> None:
    pair = Pair().open()
    pair.engine.send(assign(size=5_000 * KIB))
    written = sum(map(len, pair.engine.messages_to_send(pair.now_ms)))
    assert written <= Limits().flow_bytes_min * 5 // 4
    assert (pair.engine.wants_write, pair.engine.is_drained) == (False, False)


def test_on_a_good_line_a_frame_of_one_mebibyte_waits_for_no_answer() -> None:
    pair = Pair().open().on_a_good_line()
    pair.worker.send(checkpoint(size=1_024 * KIB))
    pair.write()
    assert pair.worker.is_drained


def test_a_beat_is_answered_at_once_however_much_waits() -> None:
    """The beat goes before everything that is not written, and so does its answer."""
    pair = Pair().open()
    pair.worker.send(checkpoint(size=4_000 * KIB))
    pair.engine.send(assign(size=4_000 * KIB))
    pair.write()
    pair.up.clear()
    pair.down.clear()
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    beat = decode_worker_message(pair.worker.messages_to_send(pair.now_ms)[0])[0]
    assert isinstance(beat, Beat)
    pair.engine.receive(encode_message([encode(beat)]), pair.now_ms)
    answer = decode_engine_message(pair.engine.messages_to_send(pair.now_ms)[0])[0]
    assert isinstance(answer, BeatAck)
    assert answer.n == beat.n


def test_an_ack_of_another_run_overtakes_a_large_frame() -> None:
    pair = Pair().open()
    pair.engine.send(assign(size=5_000 * KIB))
    pair.write()
    pair.engine.send(Ack("run_b", 1, 7))
    pair.exchange()
    assert [type(frame) for frame in pair.at_worker] == [Welcome, Ack, Assign]


def test_a_large_hello_comes_in_messages_of_a_few_seconds_each_on_the_poorest_line() -> None:
    pair = Pair(hello(held=tuple(held(f"run_{n:032}") for n in range(2_000))))
    messages = pair.worker.messages_to_send(0)
    assert max(map(len, messages)) < 5 * KIB
    for number, message in enumerate(messages):
        pair.engine.tick(2_900 * number)
        pair.engine.receive(message, 2_900 * number)
    assert pair.engine.hello == pair.hello


def test_a_worker_waits_for_the_answer_to_a_large_hello_as_long_as_that_may_take() -> None:
    pair = Pair(hello(held=tuple(held(f"run_{n:032}") for n in range(2_000))))
    size = sum(map(len, pair.worker.messages_to_send(0)))
    assert pair.worker.deadline_ms == 15_000 * (1 + size // Limits().flow_bytes_min)
    small = Pair()
    small.worker.messages_to_send(0)
    assert small.worker.deadline_ms == 15_000


def test_the_last_words_wait_for_no_answer() -> None:
    """After a Bye nobody beats any more: what is left goes as fast as the socket takes it."""
    pair = Pair().open()
    pair.worker.send(checkpoint(size=900 * KIB))
    pair.write()
    pair.worker.send(Bye())
    pair.write()
    assert pair.worker.is_drained


def test_frames_of_one_run_keep_their_order_behind_a_large_one() -> None:
    pair = Pair().open()
    pair.worker.send(checkpoint("run_a", 1, size=2_000 * KIB))
    pair.worker.send(checkpoint("run_a", 2))
    pair.worker.send(checkpoint("run_b", 1))
    pair.worker.send(checkpoint("run_a", 3, size=300 * KIB))
    pair.worker.send(checkpoint("run_a", 4))
    pair.exchange()
    seqs = [(frame.run, frame.seq) for frame in pair.at_engine if isinstance(frame, Checkpoint)]
    assert seqs == [("run_b", 1), ("run_a", 1), ("run_a", 2), ("run_a", 3), ("run_a", 4)]


def test_large_frames_of_many_runs_take_turns_within_what_the_peer_keeps() -> None:
    pair = Pair(limits=replace(Limits(), assembly_bytes_max=3_000 * KIB, frame_bytes_max=2_000 * KIB)).open()
    for number in range(20):
        pair.engine.send(assign(f"run_{number}", size=(300 + 50 * number) * KIB))
    pair.exchange()
    assert {frame.run for frame in pair.at_worker if isinstance(frame, Assign)} == {f"run_{n}" for n in range(20)}


def test_go_away_is_behind_every_assignment_even_a_large_one() -> None:
    pair = Pair().open()
    pair.engine.send(assign(size=2_000 * KIB))
    pair.engine.send(GoAway(100))
    pair.engine.send(Ack("run_b", 1, 1))
    pair.exchange()
    assert [type(frame) for frame in pair.at_worker] == [Welcome, Assign, GoAway, Ack]


def test_nothing_is_assigned_after_go_away() -> None:
    pair = Pair().open()
    pair.engine.send(GoAway(100))
    assert (pair.engine.may_assign, pair.engine.credit) == (False, 0)
    with pytest.raises(LocalMisuse, match="Assign must not be sent in phase MOVING"):
        pair.engine.send(assign())


def test_an_assignment_that_crosses_a_drain_arrives_and_can_be_returned() -> None:
    pair = Pair().open()
    pair.engine.send(assign())
    pair.worker.send(Drain("shutdown"))
    pair.exchange()
    assert isinstance(pair.at_worker[-1], Assign)
    pair.worker.send(Return("run_a", 1, "draining"))
    pair.exchange()
    assert isinstance(pair.at_engine[-1], Return)


def test_the_engine_assigns_nothing_once_it_knows_of_a_drain() -> None:
    pair = Pair().open()
    pair.worker.send(Drain("shutdown"))
    pair.exchange()
    assert pair.engine.credit == 0
    with pytest.raises(LocalMisuse):
        pair.engine.send(assign())
    with pytest.raises(LocalMisuse):
        pair.engine.send(Wake("run_a", 1, (), slot=True))
    pair.engine.send(Wake("run_a", 1, ()))


def test_a_draining_worker_grants_no_slots() -> None:
    pair = Pair().open()
    pair.worker.send(Drain("rotate"))
    pair.worker.beat_soon()
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    assert pair.engine.granted == 0


def test_frames_that_cross_a_bye_are_read_and_dropped() -> None:
    pair = Pair().open()
    pair.engine.send(Ack("run_a", 1, 1))
    pair.worker.send(Bye())
    pair.exchange()
    assert (pair.worker.close_code, pair.engine.close_code) == (CloseCode.NORMAL, CloseCode.NORMAL)
    assert [type(frame) for frame in pair.at_worker] == [Welcome]
    assert isinstance(pair.at_engine[-1], Bye)


def test_bye_is_behind_every_checkpoint_even_a_large_one() -> None:
    pair = Pair().open()
    pair.worker.send(checkpoint(size=2_000 * KIB))
    pair.worker.send(Bye())
    pair.exchange()
    assert [type(frame) for frame in pair.at_engine[-2:]] == [Checkpoint, Bye]


@pytest.mark.parametrize("frame", [checkpoint(), Drain("shutdown"), Bye()])
def test_a_worker_says_hello_first(frame: Checkpoint | Drain | Bye) -> None:
    engine = EngineSession(now_ms=0)
    with pytest.raises(ProtocolError, match="out_of_turn") as caught:
        engine.receive(encode_message([encode(frame)]), 0)
    assert caught.value.close_code == CloseCode.PROTOCOL


def test_a_second_hello_is_refused() -> None:
    pair = Pair().open()
    with pytest.raises(ProtocolError, match="Hello must not be sent in phase OPEN"):
        pair.engine.receive(encode_message([encode(hello())]), 0)


@pytest.mark.parametrize(
    ("versions", "words"),
    [((2, 3), "upgrade the engine"), ((0, 0), "upgrade the worker's onward package")],
)
def test_without_a_common_version_the_refusal_says_which_side_to_upgrade(versions: tuple[int, int], words: str) -> None:
    pair = Pair(hello(versions=versions))
    pair.exchange()
    assert pair.engine.close_code == CloseCode.REFUSED
    refusal = pair.at_worker[0]
    assert isinstance(refusal, Refuse)
    assert (refusal.code, words in refusal.message) == ("version", True)
    assert pair.at_engine == []


def test_the_highest_common_version_is_chosen() -> None:
    pair = Pair(hello(versions=(1, 9))).open()
    assert pair.engine.version == 1


def test_a_welcome_of_a_version_that_was_not_offered_is_an_error() -> None:
    pair = Pair(hello(versions=(1, 1)))
    pair.exchange()
    pair.engine.version = 2
    pair.engine.welcome("ses_1", 1)
    with pytest.raises(ProtocolError, match="version") as caught:
        pair.exchange()
    assert caught.value.close_code == CloseCode.REFUSED


def test_both_ends_notice_silence_after_fifteen_seconds() -> None:
    pair = Pair().open()
    for session in (pair.worker, pair.engine):
        session.tick(14_999)
        with pytest.raises(ProtocolError, match="silent") as caught:
            session.tick(15_000)
        assert caught.value.close_code == CloseCode.SILENT


def test_an_engine_that_may_not_renew_leases_keeps_its_workers_all_the_same() -> None:
    pair = Pair().open()
    pair.engine.renews = False
    for pair.now_ms in range(5_000, 60_000, 5_000):
        pair.worker.tick(pair.now_ms)
        pair.exchange()
    assert not pair.lease.may_start(pair.now_ms)
    pair.engine.renews = True
    pair.now_ms += 5_000
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    assert pair.lease.may_start(pair.now_ms)


def test_a_connection_without_a_hello_is_closed_after_three_seconds() -> None:
    engine = EngineSession(now_ms=100)
    assert engine.deadline_ms == 3_100
    with pytest.raises(ProtocolError, match="silent"):
        engine.tick(3_100)


def test_the_engine_may_take_its_time_with_the_welcome() -> None:
    pair = Pair()
    pair.exchange()
    assert pair.engine.deadline_ms is None


def test_a_worker_beats_every_five_seconds_while_nothing_else_happens() -> None:
    pair = Pair().open()
    moments: list[int] = []
    for _ in range(4):
        pair.now_ms = pair.worker.deadline_ms or 0
        pair.worker.tick(pair.now_ms)
        moments.append(pair.now_ms)
        pair.exchange()
    assert moments == [5_000, 10_000, 15_000, 20_000]


def test_the_worker_keeps_to_the_times_of_the_welcome() -> None:
    pair = Pair()
    pair.engine.times = pair.times.scaled(1 / 20)
    pair.open()
    assert pair.worker.deadline_ms == 250
    with pytest.raises(ProtocolError, match="silent"):
        pair.worker.tick(750)


def test_an_answered_beat_lets_steps_start_for_twelve_seconds_from_its_sending() -> None:
    pair = Pair().open()
    assert pair.worker.may_start(11_999)
    assert not pair.worker.may_start(12_000)
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    pair.write()
    pair.now_ms = 8_000  # the answer takes its time: the lease counts from 5,000
    pair.exchange()
    assert pair.worker.may_start(16_999)
    assert not pair.worker.may_start(17_000)


def test_the_first_lease_counts_from_the_hello_however_late_the_welcome_is() -> None:
    pair = Pair()
    pair.exchange()
    pair.engine.welcome("ses_1", 1)
    pair.write()
    pair.now_ms = 2_000
    pair.read_down()
    assert pair.worker.may_start(11_999)
    assert not pair.worker.may_start(12_000)


def test_an_answer_to_a_beat_that_was_never_sent_is_an_error() -> None:
    pair = Pair().open()
    with pytest.raises(ProtocolError, match="beat 9 was answered"):
        pair.worker.receive(encode_message([encode(BeatAck(9))]), 0)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("times", [0, 2], ids=["lost", "repeated"])
def test_the_next_answered_beat_shows_that_a_message_was_lost_or_repeated_on_the_way(way: str, times: int) -> None:
    pair = Pair().open()
    pair.engine.send(assign())
    pair.exchange()
    pair.worker.send(checkpoint())
    pair.engine.send(Ack("run_b", 1, 1))
    pair.write()
    under_way = pair.up if way == "up" else pair.down
    under_way.extend([under_way.pop()] * times)
    pair.exchange()
    pair.worker.beat_soon()
    pair.worker.tick(pair.now_ms)
    with pytest.raises(ProtocolError, match=r"lost or repeated|was seen"):
        pair.exchange()


def test_a_beat_that_claims_more_messages_than_were_sent_is_an_error() -> None:
    pair = Pair().open()
    with pytest.raises(ProtocolError, match="message 9 was seen"):
        pair.engine.receive(encode_message([encode(Beat(9, 9, 4))]), 0)


def test_no_step_starts_once_the_socket_is_gone_for_three_quarters_of_the_grace() -> None:
    pair = Pair().open()
    pair.lease.seen(1_000)
    pair.worker.lost(1_000)
    pair.worker.lost(1_500)
    assert pair.worker.may_start(1_749)
    assert not pair.worker.may_start(1_750)


def test_a_new_connection_renews_the_lease_and_the_end_of_the_old_one_does_not_matter() -> None:
    old = Pair().open()
    new = Pair(now_ms=6_000, lease=old.lease)
    new.exchange()
    new.engine.welcome("ses_1", 2)
    new.exchange()
    old.worker.lost(6_100)
    assert new.worker.may_start(17_999)


def test_a_retired_session_sends_nothing_and_still_reads() -> None:
    pair = Pair().open()
    pair.engine.send(Ack("run_a", 1, 1))
    pair.worker.retire()
    pair.now_ms = 20_000
    pair.exchange()
    assert pair.at_worker[-1] == Ack("run_a", 1, 1)
    assert pair.worker.deadline_ms is None
    with pytest.raises(LocalMisuse, match="newest connection"):
        pair.worker.send(checkpoint())


def test_a_guard_keeps_the_lease_and_carries_no_runs() -> None:
    pair = Pair(hello(role="guard")).open()
    assert pair.engine.is_guard
    assert (pair.engine.credit, pair.engine.may_assign) == (0, False)
    with pytest.raises(LocalMisuse):
        pair.engine.send(assign())
    with pytest.raises(ProtocolError, match="Checkpoint"):
        pair.engine.receive(encode_message([encode(checkpoint())]), 0)


def test_a_difference_between_the_lists_is_found_in_one_exchange() -> None:
    pair = Pair(hello(held=(held("run_a"), held("run_b")))).open()
    pair.holdings.drop("run_a")
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    difference = pair.at_engine[-1]
    assert not isinstance(difference, Checkpoint | Beat)
    assert pair.at_engine[-1].lost == (held("run_a"),)  # type: ignore[union-attr]
    assert not pair.engine.mirror.knows("run_a", 1)


def test_equal_lists_are_never_sent() -> None:
    pair = Pair(hello(held=tuple(held(f"run_{n}") for n in range(1_000)))).open()
    pair.take_at_engine()
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    pair.write()
    assert len(pair.up[0]) < 100
    pair.exchange()
    assert [type(frame) for frame in pair.at_engine] == [Beat]


def test_a_list_of_twenty_thousand_runs_delays_no_beat() -> None:
    runs = tuple(held(f"run_{n:032}") for n in range(20_000))
    pair = Pair(hello(held=runs)).open()
    pair.holdings.drop(runs[0].run)
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    pair.write()
    pair.read_up()
    pair.write()
    pair.read_down()
    pair.worker.tick(pair.now_ms)  # the list goes in parts, a plain beat in front of it
    first = decode_worker_message(pair.worker.messages_to_send(pair.now_ms)[0])
    assert [type(frame) for frame in first][:2] == [Beat, Part]


def test_while_a_large_frame_is_under_way_its_run_is_left_out_of_the_digest_and_all_others_are_compared() -> None:
    pair = Pair(hello(held=(held(), held("run_b")))).open()
    pair.take_at_engine()
    pair.worker.send(checkpoint(size=5_000 * KIB))
    pair.holdings.put(held(last_seq=1))
    pair.holdings.drop("run_b")
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    lists = [
        (frame.apart, frame.held) for frame in pair.at_engine if isinstance(frame, Beat) and frame.digest is not None
    ]
    assert lists == [(("run_a",), None), (("run_a",), ())]
    assert [frame.lost for frame in pair.at_engine if isinstance(frame, Difference)] == [(held("run_b"),)]
    assert [(item.run, item.last_seq) for item in pair.engine.mirror.holdings] == [("run_a", 1)]


def test_when_a_large_frame_is_through_its_run_is_compared_again() -> None:
    pair = Pair(hello(held=(held(),))).open()
    pair.worker.send(checkpoint(size=5_000 * KIB))
    pair.holdings.put(held(last_seq=1))
    pair.exchange()
    pair.take_at_engine()
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    pair.exchange()
    assert [(frame.apart, frame.count) for frame in pair.at_engine if isinstance(frame, Beat)] == [((), 1)]


def test_a_digest_behind_more_than_may_be_under_way_is_preceded_by_a_beat_that_is_not() -> None:
    """The digest keeps its turn, or it would be wrong; the lease cannot wait for it."""
    pair = Pair(hello(held=(held(),))).open()
    for seq in range(1, 20):
        pair.worker.send(checkpoint(seq=seq, size=3 * KIB))
    pair.holdings.put(held(last_seq=19))
    pair.now_ms = 5_000
    pair.worker.tick(pair.now_ms)
    first = decode_worker_message(pair.worker.messages_to_send(pair.now_ms)[0])[0]
    assert isinstance(first, Beat)
    assert first.digest is None
    pair.exchange()
    assert not pair.engine._is_list_asked


def test_a_run_that_ended_is_held_until_its_last_frame_is_acknowledged() -> None:
    pair = Pair(hello(held=(held(),))).open()
    pair.worker.send(checkpoint(outcome=RunCompleted(b"")))
    pair.exchange()
    assert pair.engine.mirror.knows("run_a", 1)
    pair.engine.send(Ack("run_a", 1, 1))
    assert not pair.engine.mirror.knows("run_a", 1)


def test_a_parked_run_stays_held_when_its_frame_is_acknowledged() -> None:
    pair = Pair(hello(held=(held(),))).open()
    pair.worker.send(checkpoint(outcome=Parked()))
    pair.exchange()
    pair.engine.send(Ack("run_a", 1, 1))
    pair.exchange()
    assert pair.engine.mirror.knows("run_a", 1)


def test_a_fenced_run_is_not_promised_any_more() -> None:
    pair = Pair(hello(held=(held(epoch=3),))).open()
    pair.engine.send(Fence("run_a", 3))
    assert not pair.engine.mirror.knows("run_a", 3)


def test_a_run_listed_twice_in_a_hello_is_an_error() -> None:
    pair = Pair(hello(held=(held(), held())))
    with pytest.raises(ProtocolError, match="listed twice"):
        pair.exchange()


def test_a_message_that_is_too_large_is_not_decoded() -> None:
    pair = Pair().open()
    pair.engine.receive(encode_message([encode(checkpoint(size=Limits().message_bytes_max - 100))]), 0)
    with pytest.raises(ProtocolError, match="too_large") as caught:
        pair.engine.receive(b"\xc1" * (Limits().message_bytes_max + 1), 0)
    assert caught.value.close_code == CloseCode.TOO_LARGE

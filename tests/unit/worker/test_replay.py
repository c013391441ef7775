from onward.replay.journal import Journal, LogEntry
from onward.replay.log import NOBODY, Replay
from onward_protocol.messages import CancelRequested, Due, StepDone


class Ask:
    """Something that code asks for, and what it got."""

    def __init__(self, barrier: bool = False) -> None:
        self.barrier = barrier
        self.asked_after = 0
        self.is_wanted = True
        self.got: list[LogEntry] = []

    def deliver(self, entry: LogEntry) -> None:
        self.got.append(entry)

    def begin(self) -> None: ...


A, B = StepDone("a", b"1"), StepDone("b", b"2")


def replay(*ordered: LogEntry, window: int = 1) -> Replay[Ask]:
    return Replay(Journal(ordered=list(ordered)), window)


def test_what_is_remembered_need_not_start() -> None:
    assert not replay(A).ask("a", Ask())
    assert replay(A).ask("b", Ask())


def test_entries_are_taken_in_the_order_of_the_log_whoever_asks_first() -> None:
    log = replay(A, B)
    log.ask("b", Ask())
    log.ask("a", Ask())
    assert [log.take()[1], log.take()[1]] == [A, B]


def test_an_engine_entry_does_not_overtake_what_is_in_the_log() -> None:
    log = replay(A)
    log.enter(Due(1, "w"))
    assert log.log[-1] == Due(1, "w")


def test_an_entry_that_nobody_asked_for_is_kept_for_a_late_request() -> None:
    log = replay(A, B)
    asked = Ask()
    log.ask("b", asked)
    log.put_off()
    assert log.take() == (asked, B)
    assert set(log.late) == {"a"}
    late = Ask()
    assert not log.ask("a", late)
    assert log.take() == (late, A)


def test_an_entry_that_nobody_will_ask_for_is_forgotten() -> None:
    log = replay(A)
    log.drop()
    assert (list(log.log), log.late, log.unused(), log.replaying) == ([], {}, [], False)


def test_what_concerns_the_whole_run_is_delivered_to_nobody_in_particular() -> None:
    cancel = CancelRequested(1, 0)
    assert replay(cancel).take() == (None, cancel)


def test_an_answer_on_its_way_to_code_that_gave_up_is_dropped() -> None:
    log = replay()
    log.ask("w", Ask())
    log.give_up("w", is_answer_due=True)
    log.enter(Due(1, "w"))
    assert log.take() == (NOBODY, Due(1, "w"))
    assert not log.late


def test_it_replays_until_the_last_remembered_entry_is_delivered() -> None:
    log = replay(A)
    assert log.replaying
    log.ask("a", Ask())
    log.take()
    assert not log.replaying


def test_bodies_start_in_the_order_of_asking() -> None:
    log, first, second = replay(window=2), Ask(), Ask()
    log.hold_body(first)
    log.hold_body(second)
    assert [log.next_body(), log.next_body(), log.next_body()] == [first, second, None]


def test_a_body_that_was_given_up_never_starts() -> None:
    log, body = replay(), Ask()
    log.hold_body(body)
    body.is_wanted = False
    assert log.next_body() is None
    assert not log.has_held


def test_a_barrier_that_has_to_wait_lets_others_pass_and_keeps_its_turn_among_barriers() -> None:
    log, first, second, other = replay(window=2), Ask(barrier=True), Ask(barrier=True), Ask()
    log.gate.enter_barrier()
    for body in (first, second, other):
        log.hold_body(body)
    assert log.next_body() is other
    assert log.next_body() is None
    log.gate.leave_barrier()
    assert log.next_body() is first

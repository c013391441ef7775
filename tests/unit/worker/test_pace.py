"""When results leave the worker, and when a run does: decisions without a clock."""

import pytest
from onward.checkpoint import Checkpoint
from onward.run.pace import BUFFER_BYTES_MAX, NOW, Buffer, Stay, buffer_of, stay_of
from onward_protocol.messages import Failure, StepDone, StepFailed, TimerFired


def done(size: int = 1) -> StepDone:
    return StepDone("s", bytes(size))


# -- results


@pytest.mark.parametrize("preset", [Checkpoint.SAFE, Checkpoint.PIPELINED, Checkpoint.OFF])
def test_presets_that_send_each_result_at_once_have_no_buffer(preset: Checkpoint) -> None:
    assert buffer_of(preset) is None


def test_the_first_result_sets_the_time_and_the_last_one_ends_it() -> None:
    buffer = Buffer(3, 3_000)
    moments: list[int | None] = []
    for now_ms in (10_000, 12_000, 12_001):
        buffer.put(done(), now_ms)
        moments.append(buffer.send_at_ms)
    assert moments == [13_000, 13_000, NOW]


def test_a_timer_of_the_code_is_a_result_too() -> None:
    buffer = Buffer(2, 0)
    buffer.put(done(), 1)
    buffer.put(TimerFired("t"), 2)
    assert buffer.send_at_ms == NOW


def test_without_an_interval_results_wait_for_others() -> None:
    buffer = Buffer(1_000, 0)
    for now_ms in range(1, 1_000):
        buffer.put(done(), now_ms)
        assert buffer.send_at_ms is None
    buffer.put(done(), 9_999)
    assert buffer.send_at_ms == NOW


def test_a_failure_leaves_at_once() -> None:
    buffer = Buffer(1_000, 3_000)
    buffer.put(done(), 1)
    buffer.put(StepFailed("s", Failure("E", "no")), 1)
    assert buffer.send_at_ms == NOW


@pytest.mark.parametrize(("size", "leaves"), [(BUFFER_BYTES_MAX - 1, False), (BUFFER_BYTES_MAX, True)])
def test_large_results_leave_at_once(size: int, leaves: bool) -> None:
    buffer = Buffer(1_000, 0)
    buffer.put(done(size), 1)
    assert (buffer.send_at_ms == NOW) == leaves


def test_what_has_been_sent_is_not_counted_again() -> None:
    buffer = Buffer(2, 1_000)
    buffer.put(done(), 1)
    buffer.clear()
    assert buffer.send_at_ms is None
    buffer.put(done(), 5_000)
    assert buffer.send_at_ms == 6_000


# -- the run


@pytest.mark.parametrize("preset", [Checkpoint.SAFE, Checkpoint.PERFORMANT, Checkpoint(max_runtime="0")])
def test_without_a_limit_a_run_stays(preset: Checkpoint) -> None:
    assert stay_of(preset) is None


def begun(limit_ms: int = 1_000) -> Stay:
    stay = Stay(limit_ms)
    stay.begin(5_000, results=2)
    return stay


@pytest.mark.parametrize(("now_ms", "verdict"), [(5_999, "go on"), (6_000, "leave")])
def test_a_run_leaves_when_its_time_is_over(now_ms: int, verdict: str) -> None:
    assert begun().verdict(now_ms, 3, is_busy=False, has_timers=False) == verdict


def test_a_run_without_a_result_of_its_own_never_leaves() -> None:
    assert begun().verdict(99_999, 2, is_busy=False, has_timers=False) == "go on"


def test_a_run_stays_while_a_timer_of_its_code_runs() -> None:
    assert begun().verdict(99_999, 3, is_busy=False, has_timers=True) == "go on"


def test_a_run_starts_nothing_while_its_last_steps_end_but_not_for_ever() -> None:
    stay = begun()
    assert stay.verdict(99_999, 3, is_busy=True, has_timers=False) == "hold"
    stay.lose_patience()
    assert stay.verdict(99_999, 3, is_busy=True, has_timers=False) == "go on"
    assert stay.verdict(99_999, 3, is_busy=False, has_timers=False) == "leave"


def test_without_checkpoints_a_run_leaves_after_its_first_result() -> None:
    stay = stay_of(Checkpoint.OFF)
    assert stay is not None
    stay.begin(5_000, results=0)
    assert stay.verdict(5_000, 0, is_busy=False, has_timers=False) == "go on"
    assert stay.verdict(5_000, 1, is_busy=False, has_timers=False) == "leave"


def test_the_time_begins_anew_when_a_parked_run_goes_on() -> None:
    stay = begun()
    stay.begin(60_000, results=3)
    assert stay.verdict(60_999, 4, is_busy=False, has_timers=False) == "go on"
    assert stay.verdict(61_000, 3, is_busy=False, has_timers=False) == "go on"
    assert stay.verdict(61_000, 4, is_busy=False, has_timers=False) == "leave"

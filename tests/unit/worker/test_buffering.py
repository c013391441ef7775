"""Finished results on their way to the engine: how many wait, for what, how long, and what takes them along."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from onward.checkpoint import Checkpoint
from onward.config import Retry
from onward.errors import RetryAfter
from onward.host import Host
from onward.run import course
from onward.run.outbox import STRIDES_MIN
from onward.run.pace import HOLD_MS_MAX
from onward_protocol.codec import encode_entries
from onward_protocol.messages import (
    Ack,
    AttemptFailed,
    Draft,
    EventWait,
    Fence,
    Invoke,
    Sleep,
    StepDone,
    StepFailed,
    WorkerEntry,
)
from onward_protocol.messages import Checkpoint as Message

from tests.support.paper_engine import PaperEngine, Program, call, quiet, until
from tests.support.timed_engine import TimedEngine, in_virtual_time

Code = Callable[[Host], Coroutine[Any, Any, Any]]

BUFFERED = [Checkpoint.BLENDED, Checkpoint.PERFORMANT]
PRESETS = [Checkpoint.SAFE, Checkpoint.PIPELINED, *BUFFERED, Checkpoint.OFF]
NAMES = ["safe", "pipelined", "blended", "performant", "off"]
every_preset = pytest.mark.parametrize("preset", PRESETS, ids=NAMES)
either_buffered = pytest.mark.parametrize("preset", BUFFERED, ids=["blended", "performant"])


async def work(value: int = 0, seconds: float = 0.005) -> int:
    await asyncio.sleep(seconds)
    return value


async def seven(host: Host) -> int:
    return sum([await host.step(call(work, 1)) for _ in range(7)])


async def played(code: Code, preset: Checkpoint) -> TimedEngine:
    """Run the code to its end."""
    engine = TimedEngine(Program(code, checkpoint=preset))
    await engine.output()
    return engine


def frames_of(code: Code, preset: Checkpoint) -> list[tuple[int, list[str]]]:
    """Run the code to its end; return when each frame was sent, and what it had in it."""
    return [(frame.at_ms, frame.kinds) for frame in in_virtual_time(lambda: played(code, preset)).frames]


# -- how many


@pytest.mark.parametrize(
    ("preset", "sizes"),
    list(zip(PRESETS, ([1] * 7, [1] * 7, [3, 3, 1], [7], [1] * 7), strict=True)),
    ids=NAMES,
)
def test_seven_steps_in_a_row_make_frames_of_this_size(preset: Checkpoint, sizes: list[int]) -> None:
    frames = frames_of(seven, preset)
    assert [kinds.count("StepDone") for _, kinds in frames] == sizes
    assert frames[-1][1][-1] == "RunCompleted"


def sizes_of_frames(result: bytes) -> list[int]:
    async def at_once() -> bytes:
        return result

    async def code(host: Host) -> None:
        for _ in range(20):
            await host.step(call(at_once))
        await host.step(call(work))

    return [kinds.count("StepDone") for _, kinds in frames_of(code, Checkpoint.PIPELINED)]


def test_results_that_come_without_a_pause_share_a_frame_up_to_half_the_window() -> None:
    assert sizes_of_frames(b"small") == [8, 8, 4, 1]


def test_large_results_share_no_frame() -> None:
    assert sizes_of_frames(bytes(1_000)) == [1] * 21


def left_before_the_code_went_on(preset: Checkpoint, steps: int) -> list[bool]:
    """For each of many steps in a row: was its result in a frame when the code got it?"""
    early: list[bool] = []

    async def run() -> None:
        async def code(host: Host) -> None:
            for number in range(steps):
                await host.step(call(work))
                early.append(sum(frame.kinds.count("StepDone") for frame in engine.frames) > number)

        engine = TimedEngine(Program(code, checkpoint=preset))
        await engine.output()

    in_virtual_time(run)
    return early


def test_results_of_a_strict_run_that_goes_from_step_to_step_leave_before_its_code_goes_on() -> None:
    assert left_before_the_code_went_on(Checkpoint.SAFE, 20) == [False] * STRIDES_MIN + [True] * (20 - STRIDES_MIN)


@pytest.mark.parametrize("preset", [Checkpoint.PIPELINED, *BUFFERED], ids=["pipelined", "blended", "performant"])
def test_results_of_a_run_that_may_be_ahead_wait_for_the_next_ones(preset: Checkpoint) -> None:
    assert not any(left_before_the_code_went_on(preset, 20))


def test_parallel_steps_after_many_in_a_row_share_a_frame() -> None:
    async def code(host: Host) -> None:
        for _ in range(20):
            await host.step(call(work))
        await asyncio.gather(*(host.step(call(work)) for _ in range(3)))
        await host.step(call(work))

    sizes = [kinds.count("StepDone") for _, kinds in frames_of(code, Checkpoint.SAFE)]
    assert sizes == [1] * 20 + [3, 1]


def test_after_a_wait_a_run_has_to_go_from_step_to_step_again() -> None:
    async def code(host: Host) -> None:
        for _ in range(20):
            await host.step(call(work))
        await host.wait("a", Sleep(1_000))
        await host.step(call(work))

    assert [kinds for _, kinds in frames_of(code, Checkpoint.SAFE)][-3:] == [
        ["StepDone"],
        ["WaitOpened", "Parked"],
        ["StepDone", "RunCompleted"],
    ]


def bodies_without_an_acknowledgement(preset: Checkpoint) -> int:
    ran: list[int] = []

    async def body(number: int) -> None:
        ran.append(number)

    async def code(host: Host) -> None:
        for number in range(2_000):
            await host.step(call(body, number))

    in_virtual_time(lambda: unheard(code, preset))
    return len(ran)


@pytest.mark.parametrize(
    ("preset", "bound"),
    [
        (Checkpoint.SAFE, 1),
        (Checkpoint.PIPELINED, 16),
        (Checkpoint.BLENDED, 3),
        (Checkpoint.PERFORMANT, 1_000),
        (Checkpoint.OFF, 1),
        (Checkpoint(4, window=10), 10),
        (Checkpoint(4, "10ms", window=2), 4),
    ],
)
def test_a_run_that_gets_no_acknowledgement_stands_still_after_so_many_steps(preset: Checkpoint, bound: int) -> None:
    assert bodies_without_an_acknowledgement(preset) == bound


def test_steps_that_were_given_up_count_as_long_as_the_reason_is_not_stored() -> None:
    """A crash would repeat the race whole, and with it the loser."""
    ran: list[str] = []

    async def run(name: str, seconds: float) -> None:
        ran.append(name)
        await asyncio.sleep(seconds)

    async def code(host: Host) -> None:
        for _ in range(40):
            tasks = [asyncio.create_task(host.step(call(run, name, s))) for name, s in (("fast", 0.001), ("slow", 9))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks[1].cancel()

    in_virtual_time(lambda: unheard(code, Checkpoint(window=10)))
    assert len(ran) <= 10 + 3 - 1  # a loser still ends while the next two begin


def test_a_failed_attempt_counts_until_it_is_stored() -> None:
    ran: list[int] = []

    async def body() -> None:
        ran.append(1)

    async def code(host: Host) -> None:
        tried = asyncio.Event()

        async def fail() -> None:
            tried.set()
            raise ValueError("no")

        failing = asyncio.create_task(host.step(call(fail, retry=Retry(attempts=2, backoff=4))))
        await tried.wait()
        await host.step(call(body))
        await failing

    in_virtual_time(lambda: unheard(code, Checkpoint.SAFE))
    assert ran == []


async def unheard(code: Code, setting: Checkpoint) -> None:
    """Run the code for a minute without a word of the engine."""
    engine = TimedEngine(Program(code, checkpoint=setting))
    engine.is_storing = False
    engine.start()
    await asyncio.sleep(60)
    await engine.runner.close()


@either_buffered
async def test_what_is_not_acknowledged_is_kept_and_sent_again_until_it_is(preset: Checkpoint) -> None:
    engine = PaperEngine(Program(seven, checkpoint=preset), auto=False)
    run = engine.start()
    for _ in range(3):  # as often as it is stored without a word, or lost
        await asyncio.sleep(0.05)
        engine.sent.clear()
        engine.runner.resend()
    while run.outcome is None:
        await asyncio.sleep(0.001)
        engine.store()
    assert [entry.key for entry in run.written if isinstance(entry, StepDone)] == [f"work@0#{n}" for n in range(7)]
    await engine.runner.close()


@either_buffered
async def test_a_frame_that_the_engine_missed_is_sent_again_whole(preset: Checkpoint) -> None:
    engine = PaperEngine(Program(seven, checkpoint=preset), auto=False)
    run = engine.start()
    await until(lambda: any(isinstance(frame, Message) for frame in engine.sent))
    [lost] = [frame for frame in engine.sent if isinstance(frame, Message)]
    engine.sent.clear()
    engine.runner.handle(Ack("run_1", 1, 0, resend=True))
    assert engine.sent == [lost]
    engine.auto = True
    engine.store()
    await until(lambda: sum(isinstance(entry, StepDone) for entry in run.written) == 7)
    await engine.runner.close()


def large_results(monkeypatch: pytest.MonkeyPatch, bytes_max: int) -> TimedEngine:
    """Return results of one kilobyte without acknowledging any, under such a limit."""
    monkeypatch.setattr(course, "UNACKED_BYTES_MAX", bytes_max)

    async def large() -> bytes:
        return bytes(1_000)

    async def code(host: Host) -> None:
        for _ in range(9):
            await host.step(call(large))

    async def main() -> TimedEngine:
        engine = TimedEngine(Program(code, checkpoint=Checkpoint.PIPELINED))
        engine.is_storing = False
        engine.start()
        await asyncio.sleep(1)
        await engine.runner.close()
        return engine

    return in_virtual_time(main)


@pytest.mark.parametrize(("more", "frames"), [(0, 4), (1, 5)])
def test_nothing_starts_while_too_many_bytes_are_unacknowledged(
    more: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest result is not counted yet when the step behind it starts: its frame is about to be made."""
    [first, *_] = large_results(monkeypatch, 10**9).frames
    size = len(encode_entries(first.entries))
    assert len(large_results(monkeypatch, 3 * size + more).frames) == frames


# -- how long


async def short_then_long(host: Host) -> None:
    await host.step(call(work, 1, 0.5))
    await host.step(call(work, 2, 100))


def test_the_interval_ends_while_a_step_executes() -> None:
    assert frames_of(short_then_long, Checkpoint.BLENDED) == [
        (3_500, ["StepDone"]),
        (100_500, ["StepDone", "RunCompleted"]),
    ]


def test_the_interval_counts_from_the_first_result_that_is_not_sent() -> None:
    async def code(host: Host) -> None:
        for seconds in (1, 1, 1, 10):
            await host.step(call(work, 0, seconds))

    [first, *_] = frames_of(code, Checkpoint(10, "2500ms"))
    assert first == (3_500, ["StepDone"] * 3)


@pytest.mark.parametrize("nothing", [None, 0, "0"])
def test_without_an_interval_a_result_waits_as_long_as_the_step_beside_it(nothing: Any) -> None:
    assert [at_ms for at_ms, _ in frames_of(short_then_long, Checkpoint(10, nothing))] == [100_500]


def test_results_that_were_sent_in_time_leave_no_alarm_behind() -> None:
    async def code(host: Host) -> None:
        await host.step(call(work))
        await host.step(call(work))
        await host.step(call(work, 0, 60))

    assert [at_ms for at_ms, _ in frames_of(code, Checkpoint(2, "3s"))] == [10, 60_012]


async def test_a_run_that_was_taken_away_sends_nothing_and_keeps_no_alarm() -> None:
    alarms: list[asyncio.TimerHandle] = []

    def later(*arguments: Any) -> asyncio.TimerHandle:
        alarms.append(asyncio.get_running_loop().call_later(*arguments))
        return alarms[-1]

    engine = PaperEngine(Program(short_then_long, checkpoint=Checkpoint(3, 60)), auto=False, later=later)
    engine.start()
    await asyncio.sleep(0.52)
    engine.runner.handle(Fence("run_1", 1, "somebody else has it"))
    assert engine.sent == []
    assert [alarm.cancelled() for alarm in alarms] == [True]
    await engine.runner.close()


# -- what takes them along


async def by_a_wait(host: Host) -> None:
    await host.wait("w", Sleep(10_000))


async def by_a_wait_for_an_event(host: Host) -> None:
    await asyncio.wait_for(host.wait("w", EventWait("e", timeout_ms=10_000)), 10)


async def by_an_invoke(host: Host) -> None:
    await asyncio.wait_for(host.wait("w", Invoke("app/child", b"\xc0")), 10)


async def by_a_send(host: Host) -> None:
    await host.send("send", [Draft("e", b"{}")])
    await host.step(call(work, 2, 10))


async def by_a_failed_attempt(host: Host) -> None:
    await host.step(call(Failing(1), id="failing", retry=Retry(attempts=2, backoff=10, jitter=0)))


async def by_a_failed_step(host: Host) -> None:
    with pytest.raises(Exception, match="no"):
        await host.step(call(Failing(1), id="failing"))
    await host.step(call(work, 2, 10))


async def by_a_barrier(host: Host) -> None:
    await host.step(call(work, 2, 10, barrier=True))


async def by_a_timer(host: Host) -> None:
    await asyncio.sleep(10)


async def by_waiting_for_something_unknown(host: Host) -> None:
    await asyncio.wait_for(asyncio.get_running_loop().create_future(), 10)


async def by_the_end(host: Host) -> None: ...


async def by_its_failure(host: Host) -> None:
    raise ValueError("no")


TAKES_ALONG = [
    by_a_wait,
    by_a_wait_for_an_event,
    by_an_invoke,
    by_a_send,
    by_a_failed_attempt,
    by_a_failed_step,
    by_a_barrier,
    by_a_timer,
    by_waiting_for_something_unknown,
    by_the_end,
    by_its_failure,
]


class Failing:
    """A body that fails so often before it succeeds, with an error of its own."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self.error = error or ValueError("no")

    async def __call__(self) -> str:
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return "done"


@pytest.mark.parametrize("then", TAKES_ALONG, ids=lambda code: code.__name__)
def test_a_result_is_taken_along(then: Code) -> None:
    async def code(host: Host) -> None:
        await host.step(call(work, 1))
        with pytest.raises(TimeoutError) if then in WAITS_IN_VAIN else _nothing():
            await then(host)

    async def main() -> None:
        engine = TimedEngine(Program(code, checkpoint=Checkpoint(1_000)))
        engine.start()
        await asyncio.sleep(1)
        first = engine.frames[0]
        assert (first.at_ms, first.kinds[0]) == (5, "StepDone")
        await engine.runner.close()

    in_virtual_time(main)


WAITS_IN_VAIN = (by_a_wait_for_an_event, by_an_invoke, by_waiting_for_something_unknown)


class _nothing:  # noqa: N801 - reads as what it expects
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_a_parked_run_has_sent_everything_in_the_frame_that_parks_it() -> None:
    async def code(host: Host) -> None:
        await host.step(call(work, 1))
        await host.step(call(work, 2))
        await host.wait("w", Sleep(10_000))

    assert frames_of(code, Checkpoint.PERFORMANT)[0] == (10, ["StepDone", "StepDone", "WaitOpened", "Parked"])


def test_results_do_not_wait_beside_a_pause_between_two_attempts() -> None:
    async def code(host: Host) -> None:
        failing = host.step(call(Failing(1), id="failing", retry=Retry(attempts=2, backoff=4, jitter=0)))
        await asyncio.gather(failing, host.step(call(work, 1)))

    assert frames_of(code, Checkpoint.PERFORMANT)[:2] == [(0, ["AttemptFailed"]), (5, ["StepDone"])]


async def test_a_worker_that_drains_sends_what_has_finished_before_its_long_steps_end() -> None:
    engine = PaperEngine(Program(short_then_long, checkpoint=Checkpoint.PERFORMANT))
    run = engine.start()
    await asyncio.sleep(0.52)
    draining = asyncio.ensure_future(engine.runner.drain())
    await quiet(engine)
    assert [type(entry) for entry in run.written] == [StepDone]
    draining.cancel()
    await engine.runner.close()


async def test_results_of_a_draining_worker_are_sent_at_once() -> None:
    async def code(host: Host) -> None:
        await asyncio.gather(*(host.step(call(work, n, seconds)) for n, seconds in enumerate((0.01, 0.05, 60))))

    engine = PaperEngine(Program(code, checkpoint=Checkpoint.PERFORMANT))
    run = engine.start()
    await asyncio.sleep(0.02)
    draining = asyncio.ensure_future(engine.runner.drain())
    await asyncio.sleep(0.06)
    assert [type(entry) for entry in run.written] == [StepDone] * 2
    draining.cancel()
    await engine.runner.close()


# -- barriers


@every_preset
def test_a_barrier_is_durable_before_and_after_in_every_mode(preset: Checkpoint) -> None:
    stored_at: dict[int, int] = {}

    async def main() -> None:
        async def body(number: int) -> int:
            stored_at[number] = len([entry for entry in engine.state.written if isinstance(entry, StepDone)])
            await asyncio.sleep(0.005)
            return number

        async def code(host: Host) -> None:
            for number in range(5):
                await host.step(call(body, number, barrier=number == 2))

        engine = TimedEngine(Program(code, checkpoint=preset))
        await engine.output()

    in_virtual_time(main)
    assert (stored_at[2], stored_at[3]) == (2, 3)


@every_preset
def test_a_barrier_does_not_wait_for_a_step_beside_it_nor_for_its_results(preset: Checkpoint) -> None:
    async def main() -> list[int]:
        deployed = asyncio.Event()
        began: list[float] = []

        async def monitor() -> None:
            await deployed.wait()

        async def deploy() -> None:
            began.append(asyncio.get_running_loop().time())
            deployed.set()

        async def prepare_and_deploy(host: Host) -> None:
            await host.step(call(work, 1))
            await host.step(call(deploy, barrier=True))

        async def code(host: Host) -> None:
            await asyncio.gather(host.step(call(monitor)), prepare_and_deploy(host))

        engine = TimedEngine(Program(code, checkpoint=preset))
        start_s = asyncio.get_running_loop().time()
        await engine.output()
        return [round((at_s - start_s) * 1000) for at_s in began]

    [began_ms] = in_virtual_time(main)
    assert began_ms == (5 + HOLD_MS_MAX if preset.is_off else 7)  # it would be handed back, were it not for the monitor


@every_preset
def test_two_barriers_beside_each_other_run_one_after_the_other(preset: Checkpoint) -> None:
    running = 0
    most = 0

    async def body() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    async def code(host: Host) -> None:
        await asyncio.gather(*(host.step(call(body, barrier=True)) for _ in range(3)), host.step(call(work, 0, 0.02)))

    frames_of(code, preset)
    assert most == 1


def test_the_result_of_a_barrier_leaves_at_once_although_another_step_goes_on() -> None:
    async def code(host: Host) -> None:
        await asyncio.gather(host.step(call(work, 1, barrier=True)), host.step(call(work, 2, 60)))

    assert frames_of(code, Checkpoint.PERFORMANT)[0] == (5, ["StepDone"])


def test_a_barrier_that_is_given_up_holds_nobody_up() -> None:
    async def code(host: Host) -> None:
        async def unlucky() -> None:
            await asyncio.wait_for(host.step(call(work, 1, 60, barrier=True)), 0.01)

        async def row() -> None:
            for _ in range(4):
                await host.step(call(work))

        results = await asyncio.gather(unlucky(), row(), host.step(call(work, 3, 30)), return_exceptions=True)
        assert isinstance(results[0], TimeoutError)

    frames = frames_of(code, Checkpoint.PERFORMANT)
    assert frames[-1][0] == 30_000


# -- failures say the same in every mode


def failures(preset: Checkpoint) -> tuple[list[WorkerEntry], Any]:
    async def code(host: Host) -> list[str]:
        retry = Retry(attempts=3, backoff=1, jitter=0)
        bodies = [
            Failing(1, RetryAfter(2, "soon")),
            Failing(1, RetryAfter("10m", "much later")),
            Failing(2, RetryAfter("20s", "twice")),
            Failing(9, ValueError("for good")),
        ]
        found: list[str] = []
        for number, body in enumerate(bodies):
            await host.step(call(work, number))
            try:
                found.append(await host.step(call(body, id=f"failing {number}", retry=retry)))
            except Exception as error:  # noqa: BLE001 - what the code sees is what is compared
                found.append(str(error))
        return found

    async def main() -> tuple[list[WorkerEntry], Any]:
        engine = TimedEngine(Program(code, checkpoint=preset))
        result = await engine.output()
        return [entry for entry in engine.state.written if isinstance(entry, AttemptFailed | StepFailed)], result

    return in_virtual_time(main)


@every_preset
def test_retries_and_failures_are_the_same_in_every_mode(preset: Checkpoint) -> None:
    entries, result = failures(preset)
    delays = [entry.retry_ms for entry in entries if isinstance(entry, AttemptFailed)]
    assert delays == [2_000, 600_000, 20_000, 20_000, 1_000, 2_000]
    assert result[:3] == ["done"] * 3
    assert result == failures(Checkpoint.SAFE)[1]
    assert [type(entry) for entry in entries].count(StepFailed) == 1


def test_a_delay_is_counted_from_the_failure_in_every_mode() -> None:
    def ended_at_ms(preset: Checkpoint) -> int:
        async def code(host: Host) -> None:
            await host.step(call(work))
            body = Failing(1, RetryAfter(3))
            await host.step(call(body, id="failing", retry=Retry(attempts=2)))

        return frames_of(code, preset)[-1][0]

    assert {ended_at_ms(preset) - 3_000 in range(5, 15) for preset in PRESETS} == {True}

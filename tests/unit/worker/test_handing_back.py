"""A run that offers itself back: when its time in a worker is over, or after each step; never without progress."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from onward.checkpoint import Checkpoint
from onward.config import Retry
from onward.errors import RetryAfter, RunCancelled
from onward.host import Host
from onward.run.pace import HOLD_MS_MAX
from onward_protocol.messages import Draft, HandedBack, RunCompleted, Sleep
from onward_protocol.messages import RunCancelled as Cancelled

from tests.support.paper_engine import Program, call
from tests.support.timed_engine import TimedEngine, in_virtual_time

Code = Callable[[Host], Coroutine[Any, Any, Any]]

AT_ONCE = Checkpoint(max_runtime=0.001)
"""Over before the first step is."""


class Steps:
    """Bodies that take 5 ms, and how often each has run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def of(self, name: str, seconds: float = 0.005, **options: Any) -> Any:
        async def body() -> str:
            self.ran.append(name)
            await asyncio.sleep(seconds)
            return name

        return call(body, id=name, **options)


def played(code: Code, setting: Checkpoint = AT_ONCE) -> TimedEngine:
    """Run the code to its end."""

    async def main() -> TimedEngine:
        engine = TimedEngine(Program(code, checkpoint=setting))
        await engine.output()
        return engine

    return in_virtual_time(main)


def outcome_of(engine: TimedEngine) -> Any:
    return engine.ended.result()


Point = Callable[[Host, Steps], Coroutine[Any, Any, None]]
"""A program, named after where it is when its time is over."""


async def three(host: Host, steps: Steps) -> None:
    for name in "abc":
        await host.step(steps.of(name))


# -- when


@pytest.mark.parametrize(
    ("setting", "residences"),
    [
        (Checkpoint.SAFE, 1),
        (Checkpoint(max_runtime=None), 1),
        (Checkpoint(max_runtime=0), 1),
        (Checkpoint(max_runtime="0"), 1),
        (Checkpoint(max_runtime="1h"), 1),
        (Checkpoint(max_runtime="10ms"), 2),
        (AT_ONCE, 3),
        (Checkpoint.OFF, 3),
    ],
)
def test_three_steps_take_so_many_residences_and_each_body_runs_once(setting: Checkpoint, residences: int) -> None:
    steps = Steps()
    engine = played(lambda host: three(host, steps), setting)
    assert (engine.residences, steps.ran) == (residences, ["a", "b", "c"])


@pytest.mark.parametrize("setting", [AT_ONCE, Checkpoint.OFF, Checkpoint(9, max_runtime=0.001)])
def test_the_last_result_and_the_hand_back_travel_in_one_frame(setting: Checkpoint) -> None:
    engine = played(lambda host: three(host, Steps()), setting)
    assert [frame.kinds for frame in engine.frames] == [
        ["StepDone", "HandedBack"],
        ["StepDone", "HandedBack"],
        ["StepDone", "RunCompleted"],
    ]


def test_an_interactive_run_leaves_after_its_five_minutes() -> None:
    steps = Steps()

    async def code(host: Host) -> None:
        for number in range(10):
            await host.step(steps.of(str(number), 60))

    engine = played(code, Checkpoint(1, "2s", "5m"))
    left = [frame.at_ms for frame in engine.frames if isinstance(frame.outcome, HandedBack)]
    assert [round(at_ms / 60_000, 2) for at_ms in left] == [5]
    assert len(steps.ran) == 10


# -- at every point of a program


async def without_steps(host: Host, steps: Steps) -> None:
    await asyncio.sleep(60)


async def before_the_first_step(host: Host, steps: Steps) -> None:
    await asyncio.sleep(0.5)  # a timer of the code is a result, so that this is progress
    await host.step(steps.of("a"))


async def before_the_first_step_without_a_timer(host: Host, steps: Steps) -> None:
    for _ in range(50):
        await asyncio.sleep(0)
    await host.step(steps.of("a"))


async def in_a_step(host: Host, steps: Steps) -> None:
    await host.step(steps.of("a", 60))
    await host.step(steps.of("b"))


async def in_the_last_step(host: Host, steps: Steps) -> None:
    await host.step(steps.of("a", 60))


async def in_a_timer(host: Host, steps: Steps) -> None:
    await host.step(steps.of("a"))
    await asyncio.sleep(60)
    await host.step(steps.of("b"))


async def in_a_timeout(host: Host, steps: Steps) -> None:
    async with asyncio.timeout(60):
        await host.step(steps.of("a"))
        await host.step(steps.of("b"))


async def between_timeouts(host: Host, steps: Steps) -> None:
    for name in "ab":
        async with asyncio.timeout(60):
            await host.step(steps.of(name))


async def in_a_sleep(host: Host, steps: Steps) -> None:
    await host.step(steps.of("a"))
    await host.wait("w", Sleep(60_000))
    await host.step(steps.of("b"))


async def in_sleeps_only(host: Host, steps: Steps) -> None:
    for number in range(3):
        await host.wait(f"w{number}", Sleep(60_000))


async def beside_a_sleep(host: Host, steps: Steps) -> None:
    await asyncio.gather(host.wait("w", Sleep(60_000)), three(host, steps))


async def behind_a_send(host: Host, steps: Steps) -> None:
    await host.step(steps.of("a"))
    await host.send("send", [Draft("e", b"{}")])
    await host.step(steps.of("b"))


async def in_parallel_steps(host: Host, steps: Steps) -> None:
    await asyncio.gather(*(host.step(steps.of(name, 0.005 * n)) for n, name in enumerate("abcd")))
    await host.step(steps.of("e"))


async def in_parallel_branches(host: Host, steps: Steps) -> None:
    async def branch(prefix: str, seconds: float) -> None:
        for number in range(3):
            await host.step(steps.of(f"{prefix}{number}", seconds))

    await asyncio.gather(branch("a", 0.005), branch("b", 0.007))


async def in_a_barrier(host: Host, steps: Steps) -> None:
    await host.step(steps.of("a"))
    await host.step(steps.of("b", 60, barrier=True))
    await host.step(steps.of("c"))


async def in_a_pause(host: Host, steps: Steps) -> None:
    await host.step(failing_once(steps, "a", RetryAfter(3)))
    await host.step(steps.of("b"))


async def in_a_long_pause(host: Host, steps: Steps) -> None:
    await host.step(failing_once(steps, "a", RetryAfter(60)))
    await host.step(steps.of("b"))


async def behind_a_failed_step(host: Host, steps: Steps) -> None:
    with pytest.raises(Exception, match="no"):
        await host.step(failing_once(steps, "a", ValueError("no"), attempts=1))
    await host.step(steps.of("b"))


async def behind_a_step_that_was_given_up(host: Host, steps: Steps) -> None:
    slow = asyncio.create_task(host.step(steps.of("slow", 60)))
    await host.step(steps.of("a"))
    slow.cancel()
    await host.step(steps.of("b"))


def failing_once(steps: Steps, name: str, error: Exception, attempts: int = 3) -> Any:
    async def body() -> None:
        steps.ran.append(name)
        await asyncio.sleep(0.005)
        if steps.ran.count(name) == 1:
            raise error

    return call(body, id=name, retry=Retry(attempts=attempts))


POINTS: dict[Point, tuple[int, int, str]] = {
    without_steps: (1, 1, ""),
    before_the_first_step: (2, 2, "a"),
    before_the_first_step_without_a_timer: (1, 1, "a"),
    in_a_step: (2, 2, "ab"),
    in_the_last_step: (1, 1, "a"),
    in_a_timer: (2, 2, "ab"),
    in_a_timeout: (1, 1, "ab"),
    between_timeouts: (2, 2, "ab"),
    in_a_sleep: (1, 1, "ab"),
    in_sleeps_only: (1, 1, ""),
    beside_a_sleep: (3, 3, "abc"),
    behind_a_send: (2, 2, "ab"),
    in_parallel_steps: (2, 2, "abcde"),
    in_a_barrier: (3, 3, "abc"),
    in_a_pause: (2, 2, "aab"),
    in_a_long_pause: (2, 2, "aab"),
    behind_a_failed_step: (2, 2, "ab"),
}
"""What becomes of each: its residences with a limit, its residences without checkpoints, the bodies that ran."""


@pytest.mark.parametrize("code", POINTS, ids=lambda code: code.__name__)
@pytest.mark.parametrize("setting", [AT_ONCE, Checkpoint.OFF, Checkpoint(100, max_runtime=0.001)])
def test_a_run_leaves_at_step_boundaries_only_and_ends(code: Point, setting: Checkpoint) -> None:
    steps = Steps()
    engine = played(lambda host: code(host, steps), setting)
    limited, without, ran = POINTS[code]
    assert outcome_of(engine) == RunCompleted(b"\xc0")
    assert engine.residences == (without if setting.is_off else limited)
    assert "".join(steps.ran) == ran


def test_branches_leave_together_between_their_steps() -> None:
    steps = Steps()
    engine = played(lambda host: in_parallel_branches(host, steps))
    assert engine.residences == 3
    assert sorted(steps.ran) == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_a_step_that_was_given_up_holds_nobody_up() -> None:
    steps = Steps()
    engine = played(lambda host: behind_a_step_that_was_given_up(host, steps))
    assert outcome_of(engine) == RunCompleted(b"\xc0")
    assert [steps.ran.count(name) for name in ("slow", "a", "b")] == [1, 1, 1]


def test_a_run_whose_replay_takes_longer_than_its_time_goes_on_by_a_step_in_each_residence() -> None:
    steps = Steps()

    async def code(host: Host) -> None:
        for number in range(20):
            await host.step(steps.of(str(number)))
            asyncio.get_running_loop().stall(1)  # type: ignore[attr-defined]  # time that user code takes, on a replay too

    engine = played(code, Checkpoint(max_runtime="2s"))
    assert outcome_of(engine) == RunCompleted(b"\xc0")
    assert steps.ran == [str(number) for number in range(20)]


def test_time_in_which_a_run_is_parked_does_not_count() -> None:
    steps = Steps()

    async def code(host: Host) -> None:
        for number in range(5):
            await host.step(steps.of(str(number)))
            await host.wait(f"w{number}", Sleep(60_000))

    assert played(code, Checkpoint(max_runtime="1s")).residences == 1


def test_a_run_that_was_cancelled_cleans_up_where_it_is() -> None:
    steps = Steps()

    async def code(host: Host) -> None:
        try:
            await host.step(steps.of("work", 60))
        except RunCancelled:
            await host.step(steps.of("clean"))
            await host.step(steps.of("up"))
            raise

    async def main() -> TimedEngine:
        engine = TimedEngine(Program(code, checkpoint=Checkpoint.OFF))
        engine.start()
        await asyncio.sleep(0.01)
        engine.cancel()
        await engine.result()
        return engine

    engine = in_virtual_time(main)
    assert (outcome_of(engine), engine.residences) == (Cancelled(""), 1)
    assert steps.ran == ["work", "clean", "up"]


# -- what would go wrong otherwise


def test_a_long_timeout_of_the_code_ends_although_the_run_would_have_left_long_before() -> None:
    """A timer begins anew with each residence: handed back every time, this run would never end."""
    steps = Steps()

    async def code(host: Host) -> str:
        try:
            async with asyncio.timeout(1):
                while True:
                    await host.step(steps.of("again"))
        except TimeoutError:
            return "timed out"

    engine = played(code)
    assert outcome_of(engine) == RunCompleted(b"\xa9timed out")
    assert engine.residences == 1


def test_a_step_that_waits_for_what_another_branch_does_next_is_not_waited_for_too_long() -> None:
    async def code(host: Host) -> float:
        done = asyncio.Event()
        began_s = asyncio.get_running_loop().time()

        async def monitor() -> None:
            await done.wait()

        async def deploy() -> None:
            done.set()

        async def row() -> None:
            await host.step(call(asyncio.sleep, 0.005, id="prepare", executor="loop"))
            await host.step(call(deploy))

        await asyncio.gather(host.step(call(monitor)), row())
        return asyncio.get_running_loop().time() - began_s

    engine = played(code)
    assert isinstance(outcome_of(engine), RunCompleted)
    assert HOLD_MS_MAX <= engine.frames[-1].at_ms < HOLD_MS_MAX + 100


def test_a_finally_block_runs_once_in_each_residence_and_its_steps_only_at_the_end() -> None:
    steps = Steps()
    leaving: list[bool] = []

    async def code(host: Host) -> None:
        try:
            await three(host, steps)
        finally:
            leaving.append(host.leaving)
            await host.step(steps.of("tidy"))

    engine = played(code, Checkpoint.OFF)
    assert outcome_of(engine) == RunCompleted(b"\xc0")
    assert leaving == [True, True, False, False]
    assert steps.ran == ["a", "b", "c", "tidy"]

"""The worker dies once, in each millisecond of a run in turn, under every setting: what that costs, and what never."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

import pytest
from msgspec import Struct
from onward.checkpoint import Checkpoint
from onward.config import Retry
from onward.host import Host
from onward_protocol.messages import Draft, Outcome, RunCompleted, Sleep, StepDone, WorkerEntry

from tests.support.paper_engine import Program, call
from tests.support.timed_engine import TimedEngine, in_virtual_time

SETTINGS = {
    "safe": Checkpoint.SAFE,
    "pipelined": Checkpoint.PIPELINED,
    "blended": Checkpoint.BLENDED,
    "blended in time": Checkpoint(8, "9ms"),
    "performant": Checkpoint.PERFORMANT,
    "off": Checkpoint.OFF,
    "a short stay": Checkpoint(2, max_runtime="12ms"),
}
STEP_S = 0.004
ON_ITS_WAY_MS = 1
every_setting = pytest.mark.parametrize("name", SETTINGS)


@pytest.fixture(autouse=True)
def quiet_logs(caplog: pytest.LogCaptureFixture) -> None:
    """The flaky step fails in every run."""
    caplog.set_level(logging.CRITICAL, "onward.run")


class Bodies:
    """Steps of one run, over all of its residences."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.running = 0
        self.at_once = 0

    def of(self, name: str, seconds: float = STEP_S, **options: Any) -> Any:
        async def body() -> str:
            self.ran[name] += 1
            self.running += 1
            self.at_once = max(self.at_once, self.running)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.running -= 1
            if name == "flaky" and self.ran[name] == 1:
                raise ValueError("the first time it always fails")
            return name

        return call(body, id=name, **options)

    @property
    def repeated(self) -> int:
        """How many executions would not have happened without the crash."""
        return sum(count - (2 if name == "flaky" else 1) for name, count in self.ran.items())


Code = Callable[[Host, Bodies], Coroutine[Any, Any, list[str]]]


async def row(host: Host, bodies: Bodies) -> list[str]:
    return [await host.step(bodies.of(str(number))) for number in range(8)]


async def everything(host: Host, bodies: Bodies) -> list[str]:
    async def branch(prefix: str, seconds: float) -> list[str]:
        return [await host.step(bodies.of(f"{prefix}{number}", seconds)) for number in range(3)]

    seen = [await host.step(bodies.of(str(number))) for number in range(3)]
    for branches in await asyncio.gather(branch("a", 0.002), branch("b", 0.003), branch("c", 0.005)):
        seen += branches
    await host.wait("nap", Sleep(10))
    seen.append(await host.step(bodies.of("flaky", retry=Retry(attempts=3, backoff=0.003, jitter=0))))
    seen += await host.send("send", [Draft("e", b"{}")])
    seen.append(await host.step(bodies.of("charge", barrier=True)))
    await asyncio.sleep(0.004)
    try:
        async with asyncio.timeout(0.003):
            await host.step(bodies.of("slow", 60))
    except TimeoutError:
        seen.append(await host.step(bodies.of("instead")))
    seen.append(await host.step(bodies.of("last")))
    return seen


class Played(Struct):
    """What became of one run."""

    outcome: Outcome
    bodies: Bodies
    written: list[WorkerEntry]
    took_ms: int


def play(code: Code, setting: Checkpoint, dies_at_ms: float | None = None) -> Played:
    """Play the code to its end; its worker dies then."""

    async def main() -> Played:
        bodies = Bodies()

        async def function(host: Host) -> list[str]:
            return await code(host, bodies)

        engine = TimedEngine(Program(function, checkpoint=setting))
        if dies_at_ms is not None:
            asyncio.get_running_loop().call_later(dies_at_ms / 1000, engine.kill_worker)
        await engine.output()
        return Played(engine.ended.result(), bodies, engine.state.written, engine.now_ms())

    return in_virtual_time(main)


@cache
def deaths(code: Code, name: str) -> tuple[Played, list[Played]]:
    """Return how the run goes without a death, and with one in the middle of each of its milliseconds."""
    setting = SETTINGS[name]
    calm = play(code, setting)
    return calm, [play(code, setting, at_ms + 0.5) for at_ms in range(calm.took_ms)]


@every_setting
@pytest.mark.parametrize("code", [row, everything], ids=lambda code: code.__name__)
def test_wherever_the_worker_dies_the_result_is_the_same_and_the_cost_is_bounded(code: Code, name: str) -> None:
    calm, crashed = deaths(code, name)
    assert isinstance(calm.outcome, RunCompleted)
    assert calm.bodies.repeated == 0
    for one in crashed:
        assert one.outcome == calm.outcome
        assert one.bodies.repeated <= SETTINGS[name].unacked_max + one.bodies.at_once - 1


@pytest.mark.parametrize(
    ("name", "most"),
    [("safe", 1), ("pipelined", 2), ("blended", 3), ("blended in time", 4), ("performant", 8), ("off", 1)],
)
def test_a_row_of_steps_repeats_at_most_so_many_of_them(name: str, most: int) -> None:
    assert max(one.bodies.repeated for one in deaths(row, name)[1]) == most


@every_setting
def test_each_result_is_recorded_once(name: str) -> None:
    for one in deaths(everything, name)[1]:
        keys = [entry.key for entry in one.written if isinstance(entry, StepDone)]
        assert len(keys) == len(set(keys))


@every_setting
def test_a_step_with_a_barrier_is_repeated_only_if_it_was_executing_or_its_result_on_its_way(name: str) -> None:
    crashed = deaths(everything, name)[1]
    repetitions = [one.bodies.ran["charge"] - 1 for one in crashed]
    assert set(repetitions) == {0, 1}
    assert sum(repetitions) == round(STEP_S * 1000) + ON_ITS_WAY_MS

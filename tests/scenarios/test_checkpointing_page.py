"""docs/checkpointing.md: the picture is drawn from real runs, and every recipe does what its row says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import Struct
from onward.checkpoint import Checkpoint
from onward.durations import duration_ms
from onward.host import Host
from onward_protocol.messages import HandedBack, StepDone, StepFailed

from tests.support.pages import Page
from tests.support.paper_engine import Program, call
from tests.support.timed_engine import TimedEngine, in_virtual_time

PAGE = Page("docs/checkpointing.md").text
PRESETS = ("SAFE", "PIPELINED", "BLENDED", "PERFORMANT", "OFF")
STEPS, BODY_MS = 6, 3

Code = Callable[[Host], Coroutine[Any, Any, Any]]


class Recipe(Struct, frozen=True):
    """A row of the page's table."""

    use: str
    code: str
    repeats: int
    sent_within: str
    leaves_after: str

    @property
    def checkpoint(self) -> Checkpoint:
        """The setting of the row, as a user would paste it."""
        made = eval(self.code, {"Checkpoint": Checkpoint})
        assert isinstance(made, Checkpoint)
        return made


def recipes() -> list[Recipe]:
    rows = re.findall(r"^\| ([^|]+?) \| `(Checkpoint\(.*?\))` \| (\d+) \| ([^|]+?) \| ([^|]+?) \|$", PAGE, re.MULTILINE)
    return [Recipe(use, code, int(repeats), sent, leaves) for use, code, repeats, sent, leaves in rows]


each_recipe = pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.use)


def test_there_is_a_recipe_for_each_use() -> None:
    assert len(recipes()) == 9


# -- the picture


async def step_of(number: int, begun: list[tuple[int, int]], now_ms: Callable[[], int]) -> None:
    begun.append((now_ms(), number))
    await asyncio.sleep(BODY_MS / 1000)


async def drawn(preset: Checkpoint) -> str:
    begun: list[tuple[int, int]] = []

    async def code(host: Host) -> None:
        for number in range(1, STEPS + 1):
            await host.step(call(step_of, number, begun, engine.now_ms))

    engine = TimedEngine(Program(code, checkpoint=preset))
    await engine.output()
    frames = {frame.at_ms for frame in engine.frames}
    bodies = {at_ms + ms: number for at_ms, number in begun for ms in range(BODY_MS)}
    width = max(*frames, *bodies) + 1
    line = "".join(str(bodies.get(ms, "·")) for ms in range(width))
    return f"{line}\n{' ' * 12}{''.join('^' if ms in frames else ' ' for ms in range(width)).rstrip()}"


@pytest.mark.parametrize("name", PRESETS)
def test_the_picture_shows_what_happens(name: str) -> None:
    assert f"{name:<12}{in_virtual_time(lambda: drawn(getattr(Checkpoint, name)))}" in PAGE


# -- the recipes


async def take(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def unheard(checkpoint: Checkpoint) -> int:
    """Return how many steps run while nothing that is sent is ever stored."""
    ran: list[None] = []

    async def body() -> None:
        ran.append(None)

    async def code(host: Host) -> None:
        for _ in range(100):
            await host.step(call(body))

    engine = TimedEngine(Program(code, checkpoint=checkpoint))
    engine.is_storing = False
    engine.start()
    await asyncio.sleep(3_600)
    await engine.runner.close()
    return len(ran)


@each_recipe
def test_a_crash_repeats_at_most_as_many_steps_as_the_row_says(recipe: Recipe) -> None:
    assert in_virtual_time(lambda: unheard(recipe.checkpoint)) == recipe.repeats


async def played(code: Code, checkpoint: Checkpoint) -> TimedEngine:
    engine = TimedEngine(Program(code, checkpoint=checkpoint))
    await engine.output()
    return engine


async def one_short_and_one_long_step(host: Host) -> None:
    await host.step(call(take, 1))
    await host.step(call(take, 300))


@each_recipe
def test_a_result_is_sent_within_the_interval_of_the_row_while_the_next_step_still_runs(recipe: Recipe) -> None:
    engine = in_virtual_time(lambda: played(one_short_and_one_long_step, recipe.checkpoint))
    first = next(frame for frame in engine.frames if any(isinstance(entry, StepDone) for entry in frame.entries))
    allowed_ms = 0 if recipe.sent_within == "at once" else duration_ms(recipe.sent_within.replace(" ", ""))
    assert first.at_ms - 1_000 == allowed_ms


async def twenty_minutes_of_steps(host: Host) -> None:
    for _ in range(1_200):
        await host.step(call(take, 1))


@each_recipe
def test_a_run_is_offered_to_others_after_the_runtime_of_the_row(recipe: Recipe) -> None:
    engine = in_virtual_time(lambda: played(twenty_minutes_of_steps, recipe.checkpoint))
    leavings = [frame.at_ms for frame in engine.frames if isinstance(frame.outcome, HandedBack)]
    if recipe.leaves_after == "never":
        assert not leavings
    else:
        limit_ms = duration_ms(recipe.leaves_after.replace(" ", ""))
        assert limit_ms <= leavings[0] <= limit_ms + 1_100


@each_recipe
def test_every_step_of_a_recipe_counts_once(recipe: Recipe) -> None:
    engine = in_virtual_time(lambda: played(twenty_minutes_of_steps, recipe.checkpoint))
    entries = [entry for frame in engine.frames for entry in frame.entries]
    results = [entry.key for entry in entries if isinstance(entry, StepDone | StepFailed)]
    assert len(results) == len(set(results)) == 1_200

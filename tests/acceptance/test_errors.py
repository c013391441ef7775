"""Errors of steps: how often a step is tried, when, and what the function gets when it failed for good."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

import pytest
from onward import (
    App,
    Checkpoint,
    Context,
    NonRetryable,
    Retry,
    RetryAfter,
    RunFailed,
    StepFailed,
    SyncContext,
    step,
)
from onward.checkpoint import PRESETS

from tests.acceptance.bodies import noted, stand_at, tries
from tests.acceptance.house import House
from tests.support.processes import note

SOON = Retry(backoff="10ms")
functions = App("errors", retry=SOON)


class Broken(Exception):
    """An error class with a constructor of its own: nobody could make it again from its message."""

    def __init__(self, part: str, *, number: int) -> None:
        super().__init__(f"{part} broke ({number})")


@step
async def fail_until(line: str, attempts: int) -> int:
    """Fail until the attempt of this number."""
    attempt = tries(line)
    if attempt < attempts:
        raise Broken("it", number=attempt)
    return attempt


@step
async def always_fail(line: str) -> None:
    raise Broken("it", number=tries(line))


# -- how often


@functions.function(str)
async def third_time_lucky(ctx: Context[str]) -> int:
    return await fail_until(ctx.data, 3)


@pytest.mark.every_store
def test_a_failed_step_is_tried_again_until_it_succeeds(house: House, name: str) -> None:
    run = house.start(third_time_lucky, name)
    assert (house.result(run), house.count(name)) == (3, 3)
    assert [(line.status, line.attempts) for line in house.steps(run, "step")] == [("completed", 3)]


@functions.function(str)
async def hopeless(ctx: Context[str]) -> None:
    await always_fail(ctx.data)


def test_a_step_is_tried_five_times_unless_somebody_says_otherwise(house: House, name: str) -> None:
    run = house.start(hopeless, name)
    error = house.failure(run)
    assert isinstance(error, StepFailed)
    assert (error.name, error.type, error.message, error.attempts) == ("always_fail", "Broken", "it broke (5)", 5)
    assert house.count(name) == 5
    assert house.steps(run)[-1].status == "failed"


@functions.function(str, retry=Retry(attempts=1))
async def once(ctx: Context[str]) -> None:
    await always_fail(ctx.data)


def test_one_attempt_means_no_retry(house: House, name: str) -> None:
    house.failure(house.start(once, name))
    assert house.count(name) == 1


@functions.function(str, retry=Retry(attempts=1))
async def own_policy(ctx: Context[str]) -> int:
    lucky = fail_until.with_options(retry=Retry(attempts=21, backoff="1ms", factor=1))
    return await lucky(ctx.data, 21)


def test_a_step_with_its_own_policy_is_tried_up_to_21_times(house: House, name: str) -> None:
    assert house.run(own_policy, name) == 21


@functions.function(str, retry=Retry(attempts=3, backoff="1ms"))
async def count_apart(ctx: Context[str]) -> list[int]:
    return [await fail_until(f"{ctx.data} {number}", 3) for number in range(3)]


def test_attempts_are_counted_for_each_step_apart(house: House, name: str) -> None:
    assert house.run(count_apart, name) == [3, 3, 3]


@step(retry=Retry(attempts=5, backoff="1ms", on=(ValueError, OSError), never_on=FileNotFoundError))
async def choosy(line: str, kind: str) -> None:
    note(line)
    raise {"value": ValueError, "missing": FileNotFoundError, "key": KeyError}[kind]("no")


@functions.function(tuple[str, str])
async def choose(ctx: Context[tuple[str, str]]) -> None:
    await choosy(*ctx.data)


@pytest.mark.parametrize(("kind", "attempts"), [("value", 5), ("missing", 1), ("key", 1)])
def test_only_chosen_errors_are_retried(house: House, name: str, kind: str, attempts: int) -> None:
    house.failure(house.start(choose, (name, kind)))
    assert house.count(name) == attempts


@step
async def give_up(line: str) -> None:
    note(line)
    raise NonRetryable("card is closed", data={"card": 7, "codes": [1, None]})


@functions.function(str)
async def not_again(ctx: Context[str]) -> list[Any]:
    try:
        await give_up(ctx.data)
    except StepFailed as error:
        return [error.type, error.message, error.data, error.attempts]
    return []


@pytest.mark.every_store
def test_non_retryable_stops_at_once_and_brings_its_data(house: House, name: str) -> None:
    expected = ["NonRetryable", "card is closed", {"card": 7, "codes": [1, None]}, 1]
    assert (house.run(not_again, name), house.count(name)) == (expected, 1)


# -- when


@step
async def ask_for_time(line: str, delay_ms: int) -> float:
    """Return how many milliseconds were between the first attempt and the second."""
    now = time.time()
    note("at", line, now)
    if tries(line) == 1:
        raise RetryAfter(delay_ms / 1000)
    return now


async def retry_later(ctx: Context[tuple[str, int]]) -> float:
    return await ask_for_time(*ctx.data)


LATER = {
    preset: functions.function(
        tuple[str, int], id=f"later-{preset}", checkpoint=checkpoint, retry=Retry(backoff="1h", jitter=0)
    )(retry_later)
    for preset, checkpoint in PRESETS.items()
}


@pytest.mark.parametrize("preset", PRESETS)
def test_retry_after_decides_when_whatever_the_checkpoints_and_the_back_off(
    house: House, name: str, preset: str
) -> None:
    second = house.run(LATER[preset], (name, 300))
    first = min(float(at) for at in house.lines(f"at {name} "))
    assert 0.3 <= second - first < 30


def test_retry_after_nothing_retries_at_once(house: House, name: str) -> None:
    assert house.run(LATER["safe"], (name, 0)) > 0


@functions.function(str, retry=Retry(attempts=4, backoff="100ms", factor=2, jitter=0))
async def back_off(ctx: Context[str]) -> None:
    await ctx.step.run("failing", fail_at, ctx.data)


async def fail_at(line: str) -> None:
    note("at", line, time.time())
    raise ValueError


def test_each_back_off_is_twice_the_one_before(house: House, name: str) -> None:
    house.failure(house.start(back_off, name))
    at = sorted(float(at) for at in house.lines(f"at {name} "))
    gaps = [after - before for before, after in pairwise(at)]
    assert [gap >= least for gap, least in zip(gaps, [0.1, 0.2, 0.4], strict=True)] == [True] * 3


# -- what the function gets


@functions.function(str)
async def catch(ctx: Context[str]) -> list[Any]:
    try:
        await always_fail(ctx.data)
    except StepFailed as error:
        seen = [type(error).__name__, error.type, error.message, error.attempts]
        note("caught", *seen)
        return [*seen, await ctx.step.run("instead", noted, f"{ctx.data} instead")]
    return []


def test_a_caught_failure_lets_the_run_go_on(house: House, name: str) -> None:
    assert house.run(catch, name) == ["StepFailed", "Broken", "it broke (5)", 5, f"{name} instead"]


@functions.function(str, checkpoint=Checkpoint.OFF)
async def catch_again(ctx: Context[str]) -> str:
    try:
        await always_fail(ctx.data)
    except StepFailed as error:
        note("seen", ctx.data, repr(error), str(error))
    await ctx.step.run("one", noted, f"{ctx.data} one")
    await ctx.step.run("two", noted, f"{ctx.data} two")
    return "done"


def test_a_failure_looks_the_same_on_every_replay_and_is_not_tried_again(house: House, name: str) -> None:
    assert house.run(catch_again, name) == "done"
    assert (len(house.lines(f"seen {name} ")), house.count(name)) == (1, 5)


@functions.function(str)
async def clean_up(ctx: Context[str]) -> None:
    try:
        await always_fail(ctx.data)
    finally:
        await ctx.step.run("clean", noted, f"{ctx.data} cleaned")


def test_steps_in_finally_run_once_and_the_run_still_fails(house: House, name: str) -> None:
    error = house.failure(house.start(clean_up, name))
    assert (isinstance(error, StepFailed), house.count(f"{name} cleaned")) == (True, 1)


@functions.function(str)
def blocking(ctx: SyncContext[str]) -> str:
    try:
        ctx.step.run("sync", blocking_step, ctx.data)
    except StepFailed as error:
        return f"{error.type} after {error.attempts}"
    return ""


def blocking_step(line: str) -> None:
    raise Broken("it", number=tries(line))


def test_a_blocking_step_is_retried_and_caught_alike(house: House, name: str) -> None:
    assert (house.run(blocking, name), house.count(name)) == ("Broken after 5", 5)


@functions.function(str)
async def fail_itself(ctx: Context[str]) -> None:
    await ctx.step.run("before", noted, ctx.data)
    raise KeyError("no such order")


def test_an_error_of_the_function_itself_fails_the_run_at_once_by_its_class_and_message(
    house: House, name: str
) -> None:
    error = house.failure(house.start(fail_itself, name))
    assert isinstance(error, RunFailed)
    assert (error.type, error.message, house.count(name)) == ("KeyError", "'no such order'", 1)


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


STRANGE: dict[str, tuple[BaseException, str]] = {
    "empty": (ValueError(), ""),
    "unreadable": (Unreadable(), "without a readable message"),
    "long": (ValueError("x" * 1_000_000), "characters left out"),
    "odd-characters": (ValueError("nul \x00 and half a pair \ud83d"), "nul"),
    "group": (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "two (2 sub-exceptions)"),
    "exit": (SystemExit(3), "3"),
    "stop": (StopIteration("over"), "StopIteration"),
    "generator": (GeneratorExit(), ""),
}


@functions.function(str, retry=Retry(attempts=1))
async def strange(ctx: Context[str]) -> None:
    await ctx.step.run("strange", raise_strange, ctx.data)


def raise_strange(kind: str) -> None:
    raise STRANGE[kind][0]


@pytest.mark.every_store
@pytest.mark.parametrize("kind", STRANGE)
def test_whatever_a_body_raises_fails_its_step_and_nothing_else(house: House, kind: str) -> None:
    pid = house.pid_of_worker() if sys.platform == "linux" else 0
    error = house.failure(house.start(strange, kind))
    assert isinstance(error, StepFailed | RunFailed)
    assert STRANGE[kind][1] in error.message
    assert not pid or house.pid_of_worker() == pid


# -- when something dies


@functions.function(str)
async def fail_then_stand(ctx: Context[str]) -> int:
    return await ctx.step.run("gated", fail_first_then_stand, ctx.data)


async def fail_first_then_stand(gate: str) -> int:
    attempt = tries(gate)
    if attempt == 1:
        raise Broken("it", number=1)
    await stand_at(gate)
    return attempt


@pytest.mark.every_store
def test_a_killed_worker_uses_no_attempt(house: House, name: str) -> None:
    run = house.start(fail_then_stand, name)
    house.wait_noted(name, 2)
    house.kill_worker()
    house.open_gate(name)
    house.start_worker()
    assert house.result(run) == 3
    assert house.steps(run, "step")[0].attempts <= 2


@functions.function(str, retry=Retry(attempts=3, backoff="5s", jitter=0))
async def long_back_off(ctx: Context[str]) -> int:
    return await fail_until(ctx.data, 2)


def test_an_engine_that_dies_during_a_back_off_does_not_reset_it(house: House, name: str) -> None:
    run = house.start(long_back_off, name)
    house.wait_noted(name)
    begin = time.monotonic()
    house.restart_engine()
    assert house.result(run) == 2
    assert (time.monotonic() - begin < 8, house.count(name)) == (True, 2)

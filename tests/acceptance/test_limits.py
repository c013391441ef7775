"""Limits: whatever is too large ends as an error with a name, in the run that it belongs to; nothing else notices."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from onward import App, Checkpoint, ConfigError, Context, Event, EventType, PayloadTooLarge, Retry, StepFailed, step
from onward.errors import EngineRefused

from tests.acceptance.bodies import tries
from tests.acceptance.house import House

MIB = 1024 * 1024
functions = App("limits", retry=Retry(attempts=3, backoff="1ms"))


@pytest.fixture(autouse=True)
def same_connection(house: House) -> Any:
    """No limit costs the worker its process or its connection."""
    [before] = house.client.list_workers()
    yield
    [after] = house.client.list_workers()
    assert (after.instance, after.connected_at_ms) == (before.instance, before.connected_at_ms)


# -- bytes


def fill(line: str, size: int) -> bytes:
    tries(line)
    return bytes(size)


@functions.function(tuple[str, int])
async def one_result(ctx: Context[tuple[str, int]]) -> int:
    return len(await ctx.step.run("fill", fill, *ctx.data))


@pytest.mark.every_store
def test_a_step_may_return_just_4_mib(house: House, name: str) -> None:
    assert house.run(one_result, (name, 4 * MIB - 5)) == 4 * MIB - 5


@pytest.mark.every_store
def test_a_larger_result_fails_its_step_at_once_with_its_name_and_size(house: House, name: str) -> None:
    error = house.failure(house.start(one_result, (name, 4 * MIB)))
    assert isinstance(error, StepFailed)
    assert (error.type, house.count(name)) == ("PayloadTooLarge", 1)
    assert f"the result of step 'fill' has {4 * MIB + 5} bytes; {4 * MIB} are allowed" in str(error)


@functions.function(str)
async def fall_back(ctx: Context[str]) -> str:
    try:
        await ctx.step.run("fill", fill, ctx.data, 5 * MIB)
    except StepFailed:
        return "smaller"
    return "large"


def test_code_may_catch_it_and_go_on(house: House, name: str) -> None:
    assert house.run(fall_back, name) == "smaller"


@functions.function(str)
async def large_state(ctx: Context[str]) -> None:
    for _ in range(12):
        await ctx.step.run("fill", fill, ctx.data, 3 * MIB)


@pytest.mark.every_store
def test_a_run_that_keeps_more_than_32_mib_fails_with_the_reason(house: House, name: str) -> None:
    error = house.failure(house.start(large_state, name))
    assert "StateTooLarge: the run's journal grew beyond 33,554,432 bytes" in str(error)
    assert house.count(name) in {10, 11, 12}


@functions.function(int)
async def large_output(ctx: Context[int]) -> bytes:
    return bytes(ctx.data)


def test_a_result_of_a_run_that_is_too_large_names_the_function(house: House) -> None:
    error = house.failure(house.start(large_output, 5 * MIB))
    assert isinstance(error, PayloadTooLarge)
    assert "limits/large_output" in str(error)


Large = EventType("limits/large", str)


def test_an_event_that_is_too_large_is_refused_by_name_and_nothing_of_its_request_is_kept(house: House) -> None:
    small = Large("small", id="beside the large one")
    with pytest.raises(EngineRefused, match=r"Event limits/large has \d+ bytes of data; 512 KiB are allowed"):
        house.client.send(small, Large("x" * 600_000))
    assert house.client.send(small)[0].id == small.id


@functions.function(str)
async def send_large(ctx: Context[str]) -> None:
    await ctx.send(Large("x" * 600_000))


def test_an_event_that_a_run_sends_is_held_to_the_same_limit(house: House, name: str) -> None:
    error = house.failure(house.start(send_large, name))
    assert "limits/large" in str(error)
    assert "512 KiB" in str(error)


@functions.function(int)
async def invoke_large(ctx: Context[int]) -> int:
    return await ctx.invoke(count_bytes, bytes(ctx.data))


@functions.function(bytes)
async def count_bytes(ctx: Context[bytes]) -> int:
    return len(ctx.data)


def test_an_input_of_a_child_counts_with_what_its_parent_keeps(house: House) -> None:
    assert house.run(invoke_large, 10 * MIB) == 10 * MIB
    assert "StateTooLarge" in str(house.failure(house.start(invoke_large, 33 * MIB)))


# -- counts


@step(executor="loop")
def number(value: int) -> int:
    return value


@functions.function(int, checkpoint=Checkpoint.PERFORMANT)
async def count_up(ctx: Context[int]) -> int:
    return sum([await number.aio(value) for value in range(ctx.data)])


@pytest.mark.timeout(120)
def test_a_run_of_more_than_100_000_steps_fails_with_the_reason(house: House) -> None:
    run = house.start(count_up, 100_001)
    error = house.client.wait(run.id, timeout=100).error
    assert error is not None
    assert "100,000 steps" in error.message or "100000" in error.message


def test_5_000_events_fit_into_a_request_and_5_001_are_refused_whole(house: House, name: str) -> None:
    events = [Event("limits/nobody", number, id=f"{name} {number}") for number in range(5_001)]
    with pytest.raises(EngineRefused, match=r"5,?000"):
        house.client.send(*events)
    assert len(house.client.send(*events[1:])) == 5_000


# -- names


WRONG_NAMES = {
    "": "is empty",
    "x" * 161: "is 161 bytes long; 160 are allowed",
    "a\nb": "cannot be printed",
    "\x00": "cannot be printed",
    "half a pair \ud83d": "is not valid Unicode",
}


@functions.function(int)
async def wrongly_named(ctx: Context[int]) -> str:
    return await ctx.step.run(list(WRONG_NAMES)[ctx.data], str.upper, "done")


@pytest.mark.parametrize("number", range(len(WRONG_NAMES)))
def test_a_step_whose_name_cannot_be_kept_is_refused_with_the_reason(house: House, number: int) -> None:
    error = house.failure(house.start(wrongly_named, number))
    assert isinstance(error, ConfigError)
    assert str(error).startswith("step: the name ")
    assert list(WRONG_NAMES.values())[number] in str(error)


@functions.function(str)
async def named(ctx: Context[str]) -> str:
    return await ctx.step.run(ctx.data, str.upper, "done")


@pytest.mark.parametrize("text", ["x" * 160, "Größe 👋", "a/b?c=d&e", "@0#1", " "])
def test_any_readable_name_will_do(house: House, text: str) -> None:
    run = house.start(named, text)
    assert house.result(run) == "DONE"
    assert house.steps(run)[0].key.startswith(text)


@functions.function(str)
async def send_unreadable(ctx: Context[str]) -> None:
    await ctx.send(Event("limits/nobody", 1, id="before"), Event("limits/nobody", 2, key="half a pair \ud83d"))


def test_an_event_that_cannot_be_written_fails_its_run_by_name_and_is_not_lost_without_a_word(house: House) -> None:
    error = house.failure(house.start(send_unreadable, ""))
    assert isinstance(error, ConfigError)
    assert "event 'limits/nobody', option 'key'" in str(error)


# -- time


@functions.function(str)
async def sleep_too_long(ctx: Context[str]) -> None:
    await ctx.sleep(ctx.data)


@pytest.mark.parametrize("duration", ["367d", "soon", "-1s"])
def test_a_duration_that_cannot_be_is_refused_by_name(house: House, duration: str) -> None:
    error = house.failure(house.start(sleep_too_long, duration))
    assert "ctx.sleep" in str(error)
    assert "duration" in str(error)


@functions.function(int)
async def deep(ctx: Context[int]) -> Any:
    return await ctx.step.run("nest", nest, ctx.data)


def nest(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [100, sys.getrecursionlimit() + 1])
def test_deeply_nested_results_come_back_or_fail_their_step(house: House, depth: int) -> None:
    run = house.start(deep, depth)
    if house.status(run) == "completed":
        assert house.client.get_run(run.id).output is not None
    else:
        assert "step 'nest'" in str(house.failure(run))

"""Invoke: a child run with a typed result, which belongs to its parent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from onward import (
    App,
    Checkpoint,
    Concurrency,
    Context,
    Function,
    InvokeFailed,
    NonRetryable,
    Retry,
    SyncContext,
)

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

functions = App("invoke", retry=Retry(attempts=1))


# -- a result


@dataclass
class Invoice:
    order: str
    due: date


@functions.function(str)
async def make_invoice(ctx: Context[str]) -> Invoice:
    await ctx.step.run("note", noted, f"invoice {ctx.data}")
    note("parent", ctx.data, ctx.parent_id)
    return Invoice(ctx.data, date(2026, 1, 2))


@functions.function(str, checkpoint=Checkpoint.OFF)
async def order(ctx: Context[str]) -> int:
    invoice = await ctx.invoke(make_invoice, ctx.data)
    await ctx.step.run("after", noted, f"after {ctx.data}")
    return invoice.due.year


@pytest.mark.every_store
def test_a_child_runs_once_over_replays_and_its_result_has_its_type(house: House, name: str) -> None:
    assert house.run(order, name) == 2026
    assert (house.count(f"invoice {name}"), len(house.runs_of(make_invoice, name))) == (1, 1)


def test_the_history_shows_the_child_and_the_child_its_parent(house: House, name: str) -> None:
    run = house.start(order, name)
    house.result(run)
    [line] = house.steps(run, "invoke")
    assert (line.status, line.output) == ("completed", {"order": name, "due": "2026-01-02"})
    [child] = house.runs_of(make_invoice, name)
    assert house.view(child.id)["parent"] == run.id
    assert house.lines(f"parent {name} ") == [run.id]


@functions.function(str)
def blocking_child(ctx: SyncContext[str]) -> str:
    return ctx.step.run("upper", str.upper, ctx.data)


@functions.function(str)
def blocking_parent(ctx: SyncContext[str]) -> str:
    return ctx.invoke(blocking_child, ctx.data)


def test_a_blocking_function_invokes_another(house: House, name: str) -> None:
    assert house.run(blocking_parent, name) == name.upper()


@functions.function(int)
async def factorial(ctx: Context[int]) -> int:
    return 1 if ctx.data == 0 else ctx.data * await ctx.invoke(factorial, ctx.data - 1)


def test_a_function_may_invoke_itself(house: House) -> None:
    assert house.run(factorial, 12) == 479_001_600


@functions.function(int)
async def square(ctx: Context[int]) -> int:
    return ctx.data * ctx.data


@functions.function(str)
async def many(ctx: Context[str]) -> list[int]:
    return list(await asyncio.gather(*(ctx.invoke(square, number) for number in range(50))))


@pytest.mark.every_store
def test_fifty_children_at_once_give_their_results_to_their_own_branches(house: House, name: str) -> None:
    assert house.run(many, name) == [number * number for number in range(50)]


@functions.function(int)
async def make_bytes(ctx: Context[int]) -> bytes:
    return b"x" * ctx.data


@functions.function(int)
async def measure(ctx: Context[int]) -> int:
    return len(await ctx.invoke(make_bytes, ctx.data))


def test_a_child_may_return_megabytes(house: House) -> None:
    assert house.run(measure, 3_000_000) == 3_000_000


# -- a failure


@functions.function(str)
async def decline(ctx: Context[str]) -> None:
    raise NonRetryable("no money", data={"order": ctx.data})


@functions.function(str, checkpoint=Checkpoint.OFF)
async def catch(ctx: Context[str]) -> list[Any]:
    try:
        await ctx.invoke(decline, ctx.data)
    except InvokeFailed as error:
        note("caught", ctx.data, repr(error))
        after = await ctx.step.run("after", noted, f"after {ctx.data}")
        return [error.name, error.type, error.message, error.data, after]
    return []


@pytest.mark.every_store
def test_a_childs_failure_is_raised_with_its_cause_and_can_be_caught(house: House, name: str) -> None:
    expected = ["invoke/decline", "NonRetryable", "no money", {"order": name}, f"after {name}"]
    assert house.run(catch, name) == expected
    assert (len(house.lines(f"caught {name} ")), len(house.runs_of(decline, name))) == (1, 1)


@functions.function(str)
async def do_not_catch(ctx: Context[str]) -> None:
    await ctx.invoke(decline, ctx.data)


def test_a_childs_failure_that_nobody_catches_fails_the_parent(house: House, name: str) -> None:
    error = house.failure(house.start(do_not_catch, name))
    assert isinstance(error, InvokeFailed)
    assert (error.name, error.message) == ("invoke/decline", "no money")


@functions.function(str)
async def stand(ctx: Context[str]) -> str:
    note("stands", ctx.data)
    await ctx.step.run("stand", stand_at, ctx.data)
    return await ctx.step.run("passed", noted, f"passed {ctx.data}")


@functions.function(str)
async def hurried(ctx: Context[str]) -> str:
    try:
        return await ctx.invoke(stand, ctx.data, timeout="200ms")
    except InvokeFailed as error:
        return error.type


def test_a_child_that_takes_too_long_is_cancelled_and_its_parent_told(house: House, name: str) -> None:
    assert house.run(hurried, name) == "TimedOut"
    [child] = house.runs_of(stand, name)
    assert house.status(child) == "cancelled"


async def unregistered(ctx: Context[str]) -> str:
    raise AssertionError(ctx)


nowhere: Function[str, str] = App("elsewhere").function(str)(unregistered)


@functions.function(str)
async def call_nobody(ctx: Context[str]) -> str:
    return await ctx.invoke(nowhere, ctx.data)


def test_a_function_that_no_worker_offers_is_named(house: House, name: str) -> None:
    error = house.failure(house.start(call_nobody, name))
    assert "no worker has registered a function 'elsewhere/unregistered'" in str(error)


@functions.function(str)
async def unfit(ctx: Context[str]) -> Any:
    wrong: Any = "not a number"
    return await ctx.invoke(square, wrong)


def test_an_input_that_does_not_fit_fails_the_child_with_the_reason(house: House, name: str) -> None:
    error = house.failure(house.start(unfit, name))
    assert isinstance(error, InvokeFailed)
    assert (error.type, "Expected `int`, got `str`" in error.message) == ("CodecError", True)


# -- belonging together


@functions.function(str)
async def parent_of_stand(ctx: Context[str]) -> str:
    return await ctx.invoke(stand, ctx.data)


@pytest.mark.every_store
def test_cancelling_a_parent_cancels_its_child(house: House, name: str) -> None:
    run = house.start(parent_of_stand, name)
    house.wait_noted(f"stands {name}")
    run.cancel()
    [child] = house.runs_of(stand, name)
    assert (house.status(run), house.status(child)) == ("cancelled", "cancelled")
    assert house.count(f"passed {name}") == 0


def test_cancelling_a_child_fails_its_parent(house: House, name: str) -> None:
    run = house.start(parent_of_stand, name)
    house.wait_noted(f"stands {name}")
    [child] = house.runs_of(stand, name)
    child.cancel()
    error = house.failure(run)
    assert isinstance(error, InvokeFailed)
    assert error.type == "RunCancelled"


@functions.function(str)
async def grandparent(ctx: Context[str]) -> str:
    return await ctx.invoke(parent_of_stand, ctx.data)


def test_cancelling_reaches_grandchildren(house: House, name: str) -> None:
    run = house.start(grandparent, name)
    house.wait_noted(f"stands {name}")
    run.cancel()
    [grandchild] = house.runs_of(stand, name)
    assert house.status(grandchild) == "cancelled"


@functions.function(str)
async def give_up_on_child(ctx: Context[str]) -> str:
    winner = await ctx.race(child=ctx.invoke(stand, ctx.data), quick=ctx.step.run("quick", noted, f"quick {ctx.data}"))
    return winner.name


def test_a_child_that_loses_a_race_is_cancelled(house: House, name: str) -> None:
    assert house.run(give_up_on_child, name) == "quick"
    for child in house.runs_of(stand, name):
        assert house.status(child) == "cancelled"


@pytest.mark.every_store
def test_a_killed_worker_does_not_start_the_child_again(house: House, name: str) -> None:
    run = house.start(parent_of_stand, name)
    house.wait_noted(f"stands {name}")
    house.kill_worker()
    house.open_gate(name)
    house.start_worker()
    assert house.result(run) == f"passed {name}"
    assert (house.count(f"passed {name}"), len(house.runs_of(stand, name))) == (1, 1)


def test_a_killed_engine_loses_neither_child_nor_result(house: House, name: str) -> None:
    run = house.start(parent_of_stand, name)
    house.wait_noted(f"stands {name}")
    house.restart_engine()
    house.open_gate(name)
    assert house.result(run) == f"passed {name}"
    assert (house.count(f"passed {name}"), len(house.runs_of(stand, name))) == (1, 1)


# -- limits


@functions.function(str, concurrency=Concurrency(1))
async def alone(ctx: Context[str]) -> str:
    if ctx.data.endswith("inner"):
        return "inner"
    return await ctx.invoke(alone, f"{ctx.data} inner")


def test_a_function_with_room_for_one_run_may_invoke_itself_because_a_waiting_run_takes_no_place(
    house: House, name: str
) -> None:
    assert house.run(alone, name) == "inner"

"""Failure handlers: one call for each run that failed for good, with what it was about and why."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from onward import App, Concurrency, Context, EventType, NonRetryable, Retry, StepFailed, SyncContext

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

functions = App("failures", retry=Retry(attempts=2, backoff="1ms"))


@dataclass
class Order:
    name: str
    total: int


Placed = EventType("failures/placed", Order)


async def refund(ctx: Context[Order], error: BaseException) -> None:
    cause = f"{error.type}:{error.message}" if isinstance(error, StepFailed) else repr(error)
    await ctx.step.run("refund", noted, f"refund {ctx.data.name} {ctx.parent_id} {ctx.event.name} {cause}")


async def decline(name: str) -> None:
    note("declined", name)
    raise ValueError("no money")


@functions.on(Placed, on_failure=refund)
async def pay(ctx: Context[Order]) -> None:
    await ctx.step.run("charge", decline, ctx.data.name)


@pytest.mark.every_store
def test_a_failed_run_calls_its_handler_once_with_its_id_its_event_and_its_error(house: House, name: str) -> None:
    [run] = house.send(Placed(Order(name, 7)))
    house.failure(run)
    line = f"refund {name} {run.id} failures/placed ValueError:no money"
    house.wait_noted(line)
    assert (house.count(line), house.count(f"declined {name}")) == (1, 2)


async def remember(ctx: Context[str], error: BaseException) -> None:
    note("handled", ctx.data, type(error).__name__, ctx.run_id)


@functions.function(str, on_failure=remember)
async def catch(ctx: Context[str]) -> str:
    try:
        await ctx.step.run("charge", decline, ctx.data)
    except StepFailed:
        return "without"
    return "with"


def test_a_failure_that_the_code_catches_calls_no_handler(house: House, name: str) -> None:
    assert house.run(catch, name) == "without"
    handlers = house.client.list_runs(function="failures/catch!failure").runs
    assert (handlers, house.lines(f"handled {name}")) == ((), [])


@functions.function(str, on_failure=remember, concurrency=Concurrency(1))
async def one_at_a_time(ctx: Context[str]) -> None:
    if ctx.data.endswith("blocks"):
        note("at", ctx.data)
        await ctx.step.run("stand", stand_at, ctx.data)
    raise NonRetryable("no")


def test_a_handler_runs_although_its_function_has_no_place_left(house: House, name: str) -> None:
    failed = house.start(one_at_a_time, name)
    house.failure(failed)
    blocking = house.start(one_at_a_time, f"{name} blocks")
    house.wait_noted(f"at {name} blocks")
    queued = house.start(one_at_a_time, f"{name} queued")
    house.until(lambda: bool(house.lines(f"handled {name} NonRetryable")), "the handler of the first has run")
    assert (queued.status(), blocking.status() in {"assigned", "parked"}) == ("queued", True)
    house.open_gate(f"{name} blocks")
    house.failure(queued)


async def fail_too(ctx: Context[str], error: BaseException) -> None:
    note("tried", ctx.data)
    raise NonRetryable("the handler fails as well")


@functions.function(str, on_failure=fail_too)
async def doomed(ctx: Context[str]) -> None:
    raise NonRetryable("no")


def test_a_handler_that_fails_calls_nobody(house: House, name: str) -> None:
    house.failure(house.start(doomed, name))
    house.wait_noted(f"tried {name}")
    [handler] = house.client.list_runs(function="failures/doomed!failure").runs
    assert house.client.wait(handler.id, timeout=20).status == "failed"
    assert len(house.client.list_runs(function="failures/doomed!failure").runs) == 1


async def stand(ctx: Context[str], error: BaseException) -> None:
    note("standing", ctx.data)
    await ctx.step.run("stand", stand_at, ctx.data)
    await ctx.step.run("end", noted, f"ended {ctx.data}")


@functions.function(str, on_failure=stand)
async def fail_at_gate(ctx: Context[str]) -> None:
    raise NonRetryable("no")


def test_a_handler_is_durable_itself(house: House, name: str) -> None:
    house.failure(house.start(fail_at_gate, name))
    house.wait_noted(f"standing {name}")
    house.replace_worker()
    house.open_gate(name)
    house.wait_noted(f"ended {name}")
    assert house.count(f"ended {name}") == 1


def blocking_handler(ctx: SyncContext[str], error: BaseException) -> None:
    ctx.step.run("note", noted, f"blocking {ctx.data} {error}")


@functions.function(str, on_failure=blocking_handler)
def blocking(ctx: SyncContext[str]) -> None:
    raise NonRetryable("no")


def test_a_blocking_function_may_have_a_blocking_handler(house: House, name: str) -> None:
    house.failure(house.start(blocking, name))
    house.wait_noted(f"blocking {name} no")


@functions.function(str, on_failure=remember)
async def wait_for_ever(ctx: Context[str]) -> None:
    await ctx.sleep("1h")


def test_a_cancelled_run_has_not_failed(house: House, name: str) -> None:
    run = house.start(wait_for_ever, name)
    house.wait_status(run, "parked")
    run.cancel()
    assert house.status(run) == "cancelled"
    assert house.client.list_runs(function="failures/wait_for_ever!failure").runs == ()

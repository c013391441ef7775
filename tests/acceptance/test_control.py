"""Control: runs and functions are held and let go, runs are made again from the beginning or from a step, and go to the
workers that they are meant for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
from onward import App, Concurrency, Context, Event, EventType, Retry
from onward.errors import EngineRefused

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

HOUR_MS = 3_600_000
VERSION = os.environ.get("VERSION_OF_TEST", "v1")
functions = App("control", version=VERSION, retry=Retry(attempts=1))


@dataclass
class Order:
    name: str
    total: int = 1


Placed = EventType("control/placed", Order)
Paid = EventType("control/paid", Order)


async def pass_gate(gate: str) -> str:
    note("at", gate)
    await stand_at(gate)
    return gate


# -- pause and resume


@functions.function(str)
async def two_steps(ctx: Context[str]) -> str:
    await ctx.step.run("first", pass_gate, ctx.data)
    return await ctx.step.run("second", noted, f"second {ctx.data}")


@pytest.mark.every_store
def test_a_paused_run_ends_its_step_and_goes_no_further_until_it_is_resumed(house: House, name: str) -> None:
    run = house.start(two_steps, name)
    house.wait_noted(f"at {name}")
    house.client.pause(run.id)
    house.open_gate(name)
    house.until(lambda: len(house.steps(run, "step")) == 1 and not house.is_held(run), "the run was handed back")
    assert (house.count(f"second {name}"), house.view(run.id)["paused"]) == (0, True)
    house.client.resume(run.id)
    assert (house.result(run), house.count(f"at {name}")) == (f"second {name}", 1)


@functions.function(str)
async def sleep_and_wait(ctx: Context[str]) -> str:
    await ctx.sleep("1h")
    paid = await ctx.wait_for_event(Paid, where=f"async.data.name == '{ctx.data}'")
    note("woken", ctx.data)
    return paid.data.name if paid else ""


@pytest.mark.every_store
def test_what_a_paused_run_waits_for_comes_meanwhile_and_is_there_when_it_goes_on(house: House, name: str) -> None:
    run = house.start(sleep_and_wait, name)
    house.wait_status(run, "parked")
    house.client.pause(run.id)
    house.advance(2 * HOUR_MS)
    house.send(Paid(Order(name)))
    assert house.count(f"woken {name}") == 0
    house.client.resume(run.id)
    assert house.result(run) == name


def test_a_pause_survives_the_end_of_worker_and_engine(house: House, name: str) -> None:
    run = house.start(two_steps, name)
    house.wait_noted(f"at {name}")
    house.client.pause(run.id)
    house.kill_worker()
    house.restart_engine()
    house.open_gate(name)
    house.start_worker()
    assert house.view(run.id)["paused"]
    house.client.resume(run.id)
    assert house.result(run) == f"second {name}"


def test_a_paused_run_can_be_cancelled(house: House, name: str) -> None:
    run = house.start(sleep_and_wait, name)
    house.wait_status(run, "parked")
    house.client.pause(run.id)
    run.cancel()
    assert house.status(run) == "cancelled"


@functions.on(Placed, concurrency=Concurrency(1, key="event.data.name"))
async def numbered(ctx: Context[Order]) -> int:
    note("began", ctx.data.name, ctx.data.total)
    return ctx.data.total


@pytest.mark.every_store
def test_a_paused_function_keeps_new_runs_and_starts_them_in_their_order(house: House, name: str) -> None:
    house.client.pause_function(numbered)
    runs = house.send(*(Placed(Order(name, number)) for number in range(5)))
    assert {run.status() for run in runs} == {"queued"}
    house.client.resume_function(numbered)
    assert [house.result(run) for run in runs] == list(range(5))
    assert house.lines(f"began {name} ") == [str(number) for number in range(5)]


def test_other_functions_go_on_beside_a_paused_one(house: House, name: str) -> None:
    house.client.pause_function(numbered)
    house.open_gate(name)
    assert house.run(two_steps, name) == f"second {name}"
    house.client.resume_function(numbered)


# -- again


@functions.on(EventType("control/ordered", Order))
async def process(ctx: Context[Order]) -> str:
    place = await ctx.step.run("reserve", noted, f"reserve {ctx.data.name}")
    paid = await ctx.step.run("charge", noted, f"charge {ctx.data.name} {ctx.data.total}")
    return f"{place}, {paid}"


@pytest.mark.every_store
def test_a_rerun_is_a_new_run_with_the_same_event_from_the_beginning(house: House, name: str) -> None:
    [run] = house.send(Event("control/ordered", Order(name, 5)))
    first = house.result(run)
    again = house.client.rerun(run.id)
    assert (again.id != run.id, house.result(again)) == (True, first)
    assert (house.count(f"reserve {name}"), house.view(again.id)["origin"]) == (2, run.id)


def test_a_rerun_with_a_key_is_made_once(house: House, name: str) -> None:
    run = house.start(process, Order(name))
    house.result(run)
    assert house.client.rerun(run.id, key=name).id == house.client.rerun(run.id, key=name).id


@pytest.mark.every_store
def test_a_fork_keeps_what_was_before_its_step_and_takes_another_input(house: House, name: str) -> None:
    [run] = house.send(Event("control/ordered", Order(name, 5)))
    house.result(run)
    fork = house.client.fork(run.id, "charge", process, Order(name, 4))
    assert house.result(fork) == f"reserve {name}, charge {name} 4"
    lines = (f"reserve {name}", f"charge {name} 5", f"charge {name} 4")
    assert [house.count(line) for line in lines] == [1, 1, 1]
    assert house.result(run) == f"reserve {name}, charge {name} 5"


def test_a_fork_over_a_kill_of_its_worker_keeps_both_what_it_took_over_and_what_it_did(house: House, name: str) -> None:
    run = house.start(three, name)
    house.open_gate(name)
    house.result(run)
    house.home.joinpath(name).unlink()
    fork = house.client.fork(run.id, "gate")
    house.wait_noted(f"at {name}", 2)
    house.kill_worker()
    house.open_gate(name)
    house.start_worker()
    assert house.result(fork) == "done"
    assert [house.count(f"{what} {name}") for what in ("before", "at", "after")] == [1, 3, 2]


@functions.function(str)
async def three(ctx: Context[str]) -> str:
    await ctx.step.run("before", noted, f"before {ctx.data}")
    await ctx.step.run("gate", pass_gate, ctx.data)
    await ctx.step.run("after", noted, f"after {ctx.data}")
    return "done"


def test_a_fork_from_a_step_that_is_not_there_is_told_which_there_are(house: House, name: str) -> None:
    run = house.start(process, Order(name))
    house.result(run)
    with pytest.raises(EngineRefused, match="reserve") as refused:
        house.client.fork(run.id, "nothing")
    assert "nothing" in str(refused.value)


@functions.function(str)
async def fails_at_first(ctx: Context[str]) -> str:
    if not house_is_open(ctx.data):
        raise ValueError("closed")
    return ctx.data


def house_is_open(gate: str) -> bool:
    return os.path.exists(os.path.join(os.environ["HOME_OF_TEST"], gate))


def test_all_that_failed_are_run_again_after_a_repair(house: House, name: str) -> None:
    runs = [house.start(fails_at_first, name) for _ in range(10)]
    assert {house.status(run) for run in runs} == {"failed"}
    house.open_gate(name)
    assert house.client.rerun_many(function=fails_at_first, status="failed", dry_run=True).count == 10
    assert house.client.rerun_many(function=fails_at_first, status="failed", request=name).count == 10
    house.client.rerun_many(function=fails_at_first, status="failed", request=name)
    house.until(
        lambda: len(house.client.list_runs(function=fails_at_first, status="completed").runs) == 10, "ten again"
    )


# -- which worker


@functions.function(str)
async def versions(ctx: Context[str]) -> list[str]:
    before = await ctx.step.run("before", str, VERSION)
    await ctx.wait_for_event(Paid, where=f"async.data.name == '{ctx.data}'")
    return [before, await ctx.step.run("after", str, VERSION)]


def test_a_run_goes_on_with_the_version_on_which_it_began_while_such_a_worker_is_there(house: House, name: str) -> None:
    run = house.start(versions, name)
    house.wait_status(run, "parked")
    house.environment["VERSION_OF_TEST"] = "v2"
    house.start_worker("newer")
    house.environment["VERSION_OF_TEST"] = "v1"
    house.send(Paid(Order(name)))
    assert house.result(run) == ["v1", "v1"]
    house.kill_worker("newer")


def test_a_run_whose_version_is_gone_goes_on_with_another_one(house: House, name: str) -> None:
    run = house.start(versions, name)
    house.wait_status(run, "parked")
    house.kill_worker()
    house.environment["VERSION_OF_TEST"] = "v2"
    house.start_worker()
    house.send(Paid(Order(name)))
    assert house.result(run) == ["v1", "v2"]
    house.environment["VERSION_OF_TEST"] = "v1"
    house.replace_worker()


@functions.function(str, labels={"gpu": "a100"})
async def on_gpu(ctx: Context[str]) -> str:
    return ctx.data


def test_a_run_waits_for_a_worker_with_its_labels_and_says_so(house: House, name: str) -> None:
    run = house.start(on_gpu, name)
    assert house.view(run.id)["waiting_for"] == "a worker that has the function control/on_gpu and the labels gpu=a100"
    house.start_worker("gpu", house.app, "--label", "gpu=a100")
    assert house.result(run) == name
    house.kill_worker("gpu")

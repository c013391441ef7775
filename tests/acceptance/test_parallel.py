"""Parallel steps: plain asyncio, or threads in a blocking function; each step runs once and its result stays with its
branch.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from onward import App, Checkpoint, Context, EventType, Retry, StepFailed, SyncContext, step

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

functions = App("parallel", retry=Retry(attempts=1))


@step
async def do(line: str) -> str:
    return await noted(line)


@step
async def pass_gate(gate: str) -> str:
    note("at", gate)
    await stand_at(gate)
    return gate


@step
async def fail(line: str) -> str:
    note(line)
    raise ValueError(line)


def steps_of(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def counts(house: House, lines: list[str]) -> set[int]:
    return {house.count(line) for line in lines}


# -- all of them


@functions.function(str, checkpoint=Checkpoint.OFF)
async def two(ctx: Context[str]) -> list[str]:
    return list(await asyncio.gather(do(f"{ctx.data} 0"), do(f"{ctx.data} 1")))


def test_two_gathered_steps_run_once_each_over_replays(house: House, name: str) -> None:
    assert house.run(two, name) == steps_of(name, 2)
    assert counts(house, steps_of(name, 2)) == {1}


@functions.function(str)
async def diamonds(ctx: Context[str]) -> list[list[str]]:
    """A step, ten branches, a step, ten branches, a step."""
    found: list[list[str]] = []
    for diamond in range(2):
        top = await do(f"{ctx.data} top {diamond}")
        found.append(list(await asyncio.gather(*(do(f"{top} {number}") for number in range(10)))))
    await do(f"{ctx.data} bottom")
    return found


@pytest.mark.every_store
def test_twenty_branches_over_two_diamonds_run_each_step_once(house: House, name: str) -> None:
    run = house.start(diamonds, name)
    tops = [f"{name} top 0", f"{name} top 1"]
    leaves = [steps_of(top, 10) for top in tops]
    assert house.result(run) == leaves
    assert counts(house, [*tops, *leaves[0], *leaves[1], f"{name} bottom"]) == {1}
    assert len(house.steps(run, "step")) == 23


@functions.function(str)
async def together(ctx: Context[str]) -> list[str]:
    return list(await asyncio.gather(*(pass_gate(gate) for gate in steps_of(ctx.data, 4))))


def test_gathered_steps_run_at_the_same_time(house: House, name: str) -> None:
    run = house.start(together, name)
    for gate in steps_of(name, 4):
        house.wait_noted(f"at {gate}")  # all stand there before any may go on
    for gate in steps_of(name, 4):
        house.open_gate(gate)
    assert house.result(run) == steps_of(name, 4)


@pytest.mark.every_store
def test_branches_that_had_ended_are_not_repeated_after_a_kill_and_keep_their_results(house: House, name: str) -> None:
    run = house.start(together, name)
    gates = steps_of(name, 4)
    for gate in gates:
        house.wait_noted(f"at {gate}")
    house.open_gate(gates[2])
    house.open_gate(gates[0])
    house.until(lambda: len(house.steps(run, "step")) == 2, "two are stored")
    house.kill_worker()
    house.open_gate(gates[1])
    house.open_gate(gates[3])
    house.start_worker()
    assert house.result(run) == gates
    assert [house.count(f"at {gate}") for gate in gates] == [1, 2, 1, 2]


@functions.function(str, checkpoint=Checkpoint.OFF)
async def same_names(ctx: Context[str]) -> list[list[str]]:
    async def branch(number: int) -> list[str]:
        return [await do(f"{ctx.data} {number} {turn}") for turn in range(3)]

    return list(await asyncio.gather(*map(branch, range(3))))


@pytest.mark.every_store
def test_equal_steps_in_parallel_branches_keep_their_own_results(house: House, name: str) -> None:
    branches = [steps_of(f"{name} {number}", 3) for number in range(3)]
    assert house.run(same_names, name) == branches
    assert counts(house, [line for branch in branches for line in branch]) == {1}


@functions.function(str)
async def tree(ctx: Context[str]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        left = group.create_task(two_of(f"{ctx.data} left"))
        right = group.create_task(two_of(f"{ctx.data} right"))
    return left.result() + right.result()


async def two_of(name: str) -> list[str]:
    return list(await asyncio.gather(do(f"{name} 0"), do(f"{name} 1")))


def test_groups_inside_groups_keep_their_order(house: House, name: str) -> None:
    assert house.run(tree, name) == [*steps_of(f"{name} left", 2), *steps_of(f"{name} right", 2)]


# -- some fail


@functions.function(str, checkpoint=Checkpoint.OFF)
async def one_fails(ctx: Context[str]) -> list[str]:
    bad = fail(f"{ctx.data} bad")
    ended = await asyncio.gather(do(f"{ctx.data} 0"), bad, do(f"{ctx.data} 1"), return_exceptions=True)
    return [one.type if isinstance(one, StepFailed) else str(one) for one in ended]


def test_a_failure_does_not_lose_the_results_beside_it(house: House, name: str) -> None:
    assert house.run(one_fails, name) == [f"{name} 0", "ValueError", f"{name} 1"]
    assert counts(house, [f"{name} 0", f"{name} bad", f"{name} 1"]) == {1}


@functions.function(str)
async def group_fails(ctx: Context[str]) -> list[str]:
    failed = 0
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pass_gate(f"{ctx.data} never"))
            group.create_task(fail(f"{ctx.data} bad"))
    except* StepFailed as failures:
        failed = len(failures.exceptions)
    return [await do(f"{ctx.data} after"), str(failed)]


def test_a_failure_in_a_group_cancels_its_siblings_and_can_be_caught(house: House, name: str) -> None:
    assert house.run(group_fails, name) == [f"{name} after", "1"]


# -- the first, and the next


@functions.function(str, checkpoint=Checkpoint.OFF)
async def race(ctx: Context[str]) -> str:
    winner = await ctx.race(slow=pass_gate(f"{ctx.data} never"), quick=do(f"{ctx.data} quick"))
    return f"{winner.name} {await do(f'{ctx.data} after')}"


@pytest.mark.every_store
def test_a_race_has_the_same_winner_on_every_replay(house: House, name: str) -> None:
    assert house.run(race, name) == f"quick {name} after"
    assert house.count(f"{name} quick") == 1


Bell = EventType("parallel/bell", str)


@functions.function(str)
async def event_or_time(ctx: Context[str]) -> str:
    winner = await ctx.race(event=ctx.wait_for_event(Bell, where=f"async.data == '{ctx.data}'"), late=ctx.sleep("9h"))
    note("winner", ctx.data, winner.name)
    await ctx.wait_for_event(Bell, where=f"async.data == '{ctx.data} end'")
    return winner.name


def test_an_event_wins_against_a_long_sleep_and_still_does_after_a_kill(house: House, name: str) -> None:
    run = house.start(event_or_time, name)
    house.wait_status(run, "parked")
    house.send(Bell(name))
    house.wait_noted(f"winner {name} event")
    house.wait_status(run, "parked")
    house.replace_worker()
    house.send(Bell(f"{name} end"))
    assert (house.result(run), house.lines(f"winner {name} ")) == ("event", ["event"])
    assert [line.status for line in house.steps(run, "sleep")] == ["closed"]


@functions.function(str)
async def in_order_of_ends(ctx: Context[str]) -> list[str]:
    gates = steps_of(ctx.data, 3)
    return [done.result() async for done in ctx.as_completed([pass_gate(gate) for gate in gates])]


def test_as_completed_gives_results_in_the_order_in_which_they_end(house: House, name: str) -> None:
    run = house.start(in_order_of_ends, name)
    for number in (2, 0, 1):
        house.open_gate(f"{name} {number}")
        house.until(lambda: any(line.output == f"{name} {number}" for line in house.steps(run, "step")), "it ended")  # noqa: B023
    assert house.result(run) == [f"{name} {number}" for number in (2, 0, 1)]


@functions.function(str, checkpoint=Checkpoint.OFF)
async def local_timeout(ctx: Context[str]) -> list[str]:
    try:
        async with asyncio.timeout(0.05):
            await pass_gate(f"{ctx.data} never")
    except TimeoutError:
        return [await do(f"{ctx.data} instead"), await do(f"{ctx.data} after")]
    return []


def test_a_timeout_of_asyncio_takes_the_same_way_on_every_replay(house: House, name: str) -> None:
    assert house.run(local_timeout, name) == [f"{name} instead", f"{name} after"]
    assert counts(house, [f"{name} instead", f"{name} after", f"at {name} never"]) == {1}


# -- not too many


async def overlap(name: str, number: int) -> int:
    """Return how many bodies were running at most, this one too."""
    note("in", name)
    await asyncio.sleep(0.01)
    note("out", name)
    return number


@functions.function(str)
async def limited(ctx: Context[str]) -> list[int]:
    return await ctx.map(lambda number: ctx.step.run("overlap", overlap, ctx.data, number), range(12), limit=3)


def test_a_map_runs_no_more_than_its_limit_and_keeps_the_order(house: House, name: str) -> None:
    assert house.run(limited, name) == list(range(12))
    running = most = 0
    for line in house.home.joinpath("ledger").read_text().splitlines():
        running += (line == f"in {name}") - (line == f"out {name}")
        most = max(most, running)
    assert most == 3


@functions.function(str)
async def wide(ctx: Context[str]) -> int:
    return len(await asyncio.gather(*(ctx.step.run("one", str, number) for number in range(1_000))))


def test_a_thousand_branches_at_once_are_no_trouble(house: House, name: str) -> None:
    run = house.start(wide, name)
    assert (house.result(run), len(house.steps(run, "step"))) == (1_000, 1_000)


# -- blocking functions


@functions.function(str)
def threads(ctx: SyncContext[str]) -> list[int]:
    return list(ctx.gather(*(lambda n=n: ctx.step.run("meet", meet, ctx.data, n) for n in range(5))))


TOGETHER = threading.Barrier(5)


def meet(name: str, number: int) -> int:
    """Ends only if all five are in it at the same time."""
    note(f"{name} {number}")
    TOGETHER.wait(30)
    return number


def test_a_blocking_function_gathers_in_threads(house: House, name: str) -> None:
    assert house.run(threads, name) == [0, 1, 2, 3, 4]
    assert counts(house, steps_of(name, 5)) == {1}


@functions.function(str)
def blocking_gates(ctx: SyncContext[str]) -> list[str]:
    return ctx.map(lambda gate: ctx.step.run("gate", pass_gate, gate), steps_of(ctx.data, 3))


def test_branches_in_threads_keep_their_results_after_a_kill(house: House, name: str) -> None:
    run = house.start(blocking_gates, name)
    gates = steps_of(name, 3)
    for gate in gates:
        house.wait_noted(f"at {gate}")
    house.open_gate(gates[1])
    house.until(lambda: len(house.steps(run, "step")) == 1, "one is stored")
    house.kill_worker()
    house.open_gate(gates[0])
    house.open_gate(gates[2])
    house.start_worker()
    assert house.result(run) == gates
    assert [house.count(f"at {gate}") for gate in gates] == [2, 1, 2]


@functions.function(str)
def one_thread_fails(ctx: SyncContext[str]) -> str:
    try:
        ctx.gather(lambda: ctx.step.run("good", noted, f"{ctx.data} good"), lambda: ctx.step.run("bad", fail, ctx.data))
    except StepFailed as error:
        return error.name
    return ""


def test_a_failure_in_a_thread_is_raised_after_the_others_have_ended(house: House, name: str) -> None:
    assert (house.run(one_thread_fails, name), house.count(f"{name} good")) == ("bad", 1)

"""Steps: each runs once, and its result is remembered, whatever happens to the worker or the engine meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from onward import App, Checkpoint, Context, EventType, SyncContext, step

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

functions = App("steps")


@step
async def do(line: str) -> str:
    return await noted(line)


@step
async def pass_gate(gate: str) -> str:
    note("at", gate)
    await stand_at(gate)
    return gate


# -- what is run and remembered


@functions.function(str)
async def three(ctx: Context[str]) -> str:
    return " ".join([await do(f"{ctx.data} {number}") for number in range(3)])


@pytest.mark.every_store
def test_each_step_runs_once_and_its_result_comes_back(house: House, name: str) -> None:
    assert house.run(three, name) == f"{name} 0 {name} 1 {name} 2"
    assert [house.count(f"{name} {number}") for number in range(3)] == [1, 1, 1]


def test_the_history_lists_steps_with_results_attempts_and_times_oldest_first(house: House, name: str) -> None:
    run = house.start(three, name)
    house.result(run)
    lines = house.steps(run)
    assert [(line.kind, line.status, line.attempts) for line in lines] == [("step", "completed", 1)] * 3
    assert [line.output for line in lines] == [f"{name} {number}" for number in range(3)]
    assert 0 < lines[0].at_ms <= lines[1].at_ms <= lines[2].at_ms


@functions.function(str, checkpoint=Checkpoint.OFF)  # replayed after every step
async def same_id(ctx: Context[str]) -> list[str]:
    return [await ctx.step.run("same", noted, f"{ctx.data} {number}") for number in range(5)]


@pytest.mark.every_store
def test_an_id_that_is_used_five_times_keeps_five_results_over_replays(house: House, name: str) -> None:
    assert house.run(same_id, name) == [f"{name} {number}" for number in range(5)]
    assert [house.count(f"{name} {number}") for number in range(5)] == [1] * 5


def described(fn: str, /, *words: str, id: str, step: int = 0) -> str:
    return f"{fn} {words} {id} {step}"


@functions.function(str)
async def any_arguments(ctx: Context[str]) -> str:
    return await ctx.step.run("described", described, "fn", "a", "b", id="mine", step=3)


def test_a_step_takes_positional_and_keyword_arguments_of_any_name(house: House) -> None:
    assert house.run(any_arguments, "") == "fn ('a', 'b') mine 3"


@step
def thread_of(line: str) -> bool:
    note(line)
    return threading.current_thread() is threading.main_thread()


@functions.function(str)
async def async_with_blocking_steps(ctx: Context[str]) -> list[bool]:
    return [await thread_of.aio(ctx.data), await ctx.step.run("other", thread_of, ctx.data)]


def test_a_blocking_step_of_an_async_function_runs_in_a_thread(house: House, name: str) -> None:
    assert house.run(async_with_blocking_steps, name) == [False, False]
    assert house.count(name) == 2


@functions.function(str, checkpoint=Checkpoint.OFF)
def blocking(ctx: SyncContext[str]) -> list[str]:
    thread_of(f"{ctx.data} 0")
    return [ctx.step.run("mine", str.upper, ctx.data), ctx.step.run("async", noted, f"{ctx.data} 1")]


def test_a_blocking_function_calls_blocking_and_async_steps_once_each(house: House, name: str) -> None:
    assert house.run(blocking, name) == [name.upper(), f"{name} 1"]
    assert [house.count(f"{name} {number}") for number in range(2)] == [1, 1]


async def make_list() -> list[int]:
    return [1]


@functions.function(str, checkpoint=Checkpoint.OFF)
async def changing(ctx: Context[str]) -> list[int]:
    made = await ctx.step.run("make", make_list)
    made.append(2)
    await do(ctx.data)
    return made


def test_what_code_does_to_a_result_is_not_remembered_with_it(house: House, name: str) -> None:
    run = house.start(changing, name)
    assert house.result(run) == [1, 2]
    assert house.steps(run)[0].output == [1]


@functions.function(str, checkpoint=Checkpoint.OFF)
async def seeded(ctx: Context[str]) -> bool:
    values = f"values {ctx.data} {ctx.random()} {ctx.uuid()} {ctx.now()}"
    note(values)
    await do(f"{ctx.data} 1")
    await do(f"{ctx.data} 2")
    return ctx.random() == ctx.random()


def test_random_uuid_and_now_are_the_same_on_every_replay(house: House, name: str) -> None:
    assert house.run(seeded, name) is False
    assert len(house.lines(f"values {name} ")) == 1


Told = EventType("steps/told", str)


@functions.on(Told)
async def hear(ctx: Context[str]) -> str:
    return await do(f"heard {ctx.data}")


@functions.function(str, checkpoint=Checkpoint.OFF)
async def tell(ctx: Context[str]) -> bool:
    first = await ctx.send(Told(ctx.data))
    await do(f"{ctx.data} sent")
    return first != await ctx.send(Told(f"{ctx.data} again"))


@pytest.mark.every_store
def test_an_event_that_a_run_sends_is_sent_once_over_replays(house: House, name: str) -> None:
    assert house.run(tell, name)
    house.wait_noted(f"heard {name} again")
    assert house.count(f"heard {name}") == 1


async def nested(line: str) -> str:
    return await do(line)


@functions.function(str)
async def step_in_step(ctx: Context[str]) -> str:
    return await ctx.step.run("outer", nested, ctx.data)


def test_a_step_inside_a_step_fails_with_a_sentence_that_names_it(house: House, name: str) -> None:
    error = house.failure(house.start(step_in_step, name))
    assert "step 'do' was called inside the body of step 'outer'" in str(error)
    assert house.count(name) == 0


# -- when something dies


@functions.function(str)
async def around_gate(ctx: Context[str]) -> str:
    first = await do(f"{ctx.data} before")
    await pass_gate(ctx.data)
    return first + " " + await do(f"{ctx.data} after")


@pytest.mark.every_store
def test_a_killed_worker_costs_only_the_step_that_it_was_in(house: House, name: str) -> None:
    run = house.start(around_gate, name)
    house.wait_noted(f"at {name}")
    house.kill_worker()
    house.open_gate(name)
    house.start_worker()
    assert house.result(run) == f"{name} before {name} after"
    assert [house.count(f"{name} before"), house.count(f"at {name}"), house.count(f"{name} after")] == [1, 2, 1]


@pytest.mark.every_store
def test_a_killed_engine_costs_no_step_at_all(house: House, name: str) -> None:
    run = house.start(around_gate, name)
    house.wait_noted(f"at {name}")
    house.restart_engine()
    house.open_gate(name)
    assert house.result(run) == f"{name} before {name} after"
    assert [house.count(f"{name} before"), house.count(f"at {name}"), house.count(f"{name} after")] == [1, 1, 1]


def test_engine_and_worker_killed_together_lose_no_finished_step(house: House, name: str) -> None:
    run = house.start(around_gate, name)
    house.wait_noted(f"at {name}")
    house.kill_worker()
    house.restart_engine()
    house.open_gate(name)
    house.start_worker()
    assert house.result(run) == f"{name} before {name} after"
    assert [house.count(f"{name} before"), house.count(f"at {name}"), house.count(f"{name} after")] == [1, 2, 1]


@functions.function(str, checkpoint=Checkpoint.PERFORMANT)
async def with_barrier(ctx: Context[str]) -> str:
    await ctx.step.options(barrier=True).run("charge", noted, f"{ctx.data} charged")
    return await pass_gate(ctx.data)


def test_a_barrier_step_is_not_repeated_though_checkpoints_are_rare(house: House, name: str) -> None:
    run = house.start(with_barrier, name)
    house.wait_noted(f"at {name}")
    house.kill_worker()
    house.open_gate(name)
    house.start_worker()
    assert house.result(run) == name
    assert house.count(f"{name} charged") == 1


def test_a_run_waits_for_a_worker_and_uses_no_attempt_meanwhile(house: House, name: str) -> None:
    with house.no_worker():
        run = house.start(three, name)
        assert run.status() == "queued"
    house.result(run)
    assert house.client.get_run(run.id).attempt == 1


# -- when the code changes

IS_NEW = os.environ.get("VERSION_OF_TEST") == "new"


async def old_and_new(ctx: Context[str]) -> str:
    names = ["added", "first", "moved", "gate", "last"] if IS_NEW else ["first", "dropped", "moved", "gate", "last"]
    bodies: dict[str, Callable[[str], object]] = {"gate": pass_gate.fn}
    return " ".join([str(await ctx.step.run(name, bodies.get(name, noted), f"{ctx.data} {name}")) for name in names])


changed = functions.function(str, id="changed")(old_and_new)


def test_a_run_goes_on_with_changed_code_and_keeps_the_results_of_steps_by_name(house: House, name: str) -> None:
    run = house.start(changed, name)
    house.wait_noted(f"at {name} gate")
    house.kill_worker()
    house.open_gate(f"{name} gate")
    house.environment["VERSION_OF_TEST"] = "new"
    house.start_worker()
    assert house.result(run) == " ".join(f"{name} {step}" for step in ["added", "first", "moved", "gate", "last"])
    assert [house.count(f"{name} {step}") for step in ["added", "first", "moved", "last"]] == [1] * 4

"""Cancelling by events and by time, pausing, repeating and forking, with real functions in the test's process."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from onward import App, CancelOn, ConfigError, Context, EventType, RunCancelled, SyncContext, Timeouts, step
from onward.testing import TestEngine
from onward_engine.commit import Refused
from onward_engine.store.port import RunFilter

Placed = EventType("order.placed", dict[str, str])
Withdrawn = EventType("order.withdrawn", dict[str, str])
Confirmed = EventType("order.confirmed", dict[str, str])


class Ledger:
    """What the steps of an app have done, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys: list[UUID] = []


def shop(ledger: Ledger) -> App:
    app = App("shop")

    @step
    async def reserve(order: str) -> str:
        ledger.done.append(f"reserve {order}")
        return f"place of {order}"

    @step
    async def release(place: str) -> None:
        ledger.done.append(f"release {place}")

    @step
    async def charge(order: str, key: UUID) -> str:
        ledger.done.append(f"charge {order}")
        ledger.keys.append(key)
        return f"paid {order}"

    @app.on(Placed, cancel_on=CancelOn(Withdrawn, match="id"), timeouts=Timeouts(finish="2h"))
    async def process(ctx: Context[dict[str, str]]) -> str:
        first = ctx.uuid()
        place = await reserve(ctx.data["id"])
        try:
            event = await ctx.wait_for_event(Confirmed, match="id", timeout="3h")
        except RunCancelled:
            await release(place)
            raise
        paid = await charge(ctx.data["id"], ctx.uuid())
        ledger.keys.append(first)
        return f"{paid} {event is not None}"

    return app


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_an_event_cancels_a_waiting_run_whose_code_cleans_up(crash_everywhere: bool) -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger), crash_everywhere=crash_everywhere) as engine:
        [mine, other] = await engine.send(Placed({"id": "o1"}), Placed({"id": "o2"}))
        await engine.send(Withdrawn({"id": "o1"}))
        assert (mine.status, other.status) == ("cancelled", "parked")
        assert ledger.done == ["reserve o1", "reserve o2", "release place of o1"]


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_run_that_takes_too_long_is_cancelled_to_the_millisecond(crash_everywhere: bool) -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger), crash_everywhere=crash_everywhere) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        statuses: list[str] = []
        for seconds in (2 * 3600 - 0.001, 0.001):
            await engine.advance(seconds)
            statuses.append(run.status)
        assert statuses == ["parked", "cancelled"]
        assert ledger.done == ["reserve o1", "release place of o1"]


async def test_an_event_behind_its_trigger_cancels_before_anything_has_begun() -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger)) as engine:
        [run] = await engine.send(Placed({"id": "o1"}), Withdrawn({"id": "o1"}))
        assert run.status == "cancelled"
        assert ledger.done == []


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_held_run_goes_on_where_it_was_with_what_has_come_meanwhile(crash_everywhere: bool) -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger), crash_everywhere=crash_everywhere) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        await engine.pause(run)
        await engine.send(Confirmed({"id": "o1"}))
        assert run.status == "ready"
        assert ledger.done == ["reserve o1"]
        await engine.resume(run)
        assert run.output == "paid o1 True"
        assert ledger.done == ["reserve o1", "charge o1"]


async def test_a_paused_function_keeps_what_would_start_it() -> None:
    ledger = Ledger()
    app = shop(ledger)
    async with TestEngine(app) as engine:
        process = app.functions["shop/process"]
        await engine.pause(process)
        [run] = await engine.send(Placed({"id": "o1"}))
        assert (run.status, ledger.done) == ("queued", [])
        await engine.resume(process)
        assert run.status == "parked"


async def test_an_executing_run_is_handed_back_at_its_next_step() -> None:
    app, entered, go, done = App("a"), asyncio.Event(), asyncio.Event(), list[str]()

    async def slow() -> None:
        entered.set()
        await go.wait()
        done.append("slow")

    async def after() -> None:
        done.append("after")

    @app.function(int)
    async def work(ctx: Context[int]) -> str:
        await ctx.step.run("slow", slow)
        await ctx.step.run("after", after)
        return "done"

    async with TestEngine(app) as engine:
        starting = asyncio.create_task(engine.start(work, 1))
        await entered.wait()
        [id] = [run.id for run in (await engine._engine.store.runs(RunFilter())).runs]
        assert await engine._engine.control.pause_run(id) == "pausing"
        go.set()
        run = await starting
        assert (run.status, done) == ("queued", ["slow"])
        await engine.resume(run)
        assert (run.output, done) == ("done", ["slow", "after"])


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_rerun_does_everything_once_more(crash_everywhere: bool) -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger), crash_everywhere=crash_everywhere) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        again = await engine.rerun(run)
        await engine.send(Confirmed({"id": "o1"}))
        assert (run.output, again.output) == ("paid o1 True", "paid o1 True")
        assert ledger.done == ["reserve o1", "reserve o1", "charge o1", "charge o1"]


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_fork_keeps_what_was_done_before_its_step(crash_everywhere: bool) -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger), crash_everywhere=crash_everywhere) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        await engine.send(Confirmed({"id": "o1"}))
        fork = await engine.fork(run, "charge")
        assert fork.output == "paid o1 True"
        assert ledger.done == ["reserve o1", "charge o1", "charge o1"]
        key, first, key_of_fork, first_of_fork = ledger.keys
        assert first == first_of_fork, "what was random before the step is what it was"
        assert key != key_of_fork, "what is random after it is new"


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_fork_may_have_another_input(crash_everywhere: bool) -> None:
    ledger = Ledger()
    app = shop(ledger)
    async with TestEngine(app, crash_everywhere=crash_everywhere) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        await engine.send(Confirmed({"id": "o1"}))
        fork = await engine.fork(run, "charge", app.functions["shop/process"], {"id": "o9"})
        assert fork.output == "paid o9 True"
        assert ledger.done == ["reserve o1", "charge o1", "charge o9"]


async def test_a_wait_that_was_open_is_opened_anew_in_a_fork() -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger)) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        fork = await engine.fork(run, "wait:order.confirmed")
        assert (run.status, fork.status) == ("parked", "parked")
        await engine.send(Confirmed({"id": "o1"}))
        assert (run.output, fork.output) == ("paid o1 True", "paid o1 True")
        assert ledger.done == ["reserve o1", "charge o1", "charge o1"]


async def test_a_step_that_is_not_there_is_answered_with_those_that_are() -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger)) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        with pytest.raises(Refused, match=r"has no step 'ship'; it has .*reserve@"):
            await engine.fork(run, "ship")


async def test_the_clean_up_of_a_cancelled_run_cannot_be_forked() -> None:
    ledger = Ledger()
    async with TestEngine(shop(ledger)) as engine:
        [run] = await engine.send(Placed({"id": "o1"}))
        await engine.send(Withdrawn({"id": "o1"}))
        with pytest.raises(Refused, match="clean-up of a cancelled run"):
            await engine.fork(run, "release")
        assert (await engine.fork(run, "wait:order.confirmed")).status == "parked"


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_fork_among_parallel_branches_keeps_what_the_log_has_before_it(crash_everywhere: bool) -> None:
    app, done = App("a"), list[str]()

    async def part(name: str) -> str:
        done.append(name)
        return name

    @app.function(int)
    async def work(ctx: Context[int]) -> list[str]:
        both = await asyncio.gather(*(ctx.step.run(name, part, name) for name in "abc"))
        return [*both, await ctx.step.run("last", part, "last")]

    async with TestEngine(app, crash_everywhere=crash_everywhere) as engine:
        run = await engine.start(work, 1)
        done.clear()
        fork = await engine.fork(run, "b")
        assert fork.output == run.output == ["a", "b", "c", "last"]
        assert sorted(done) == ["b", "c", "last"]


async def test_a_sync_function_is_paused_and_forked_alike() -> None:
    app, done = App("a"), list[str]()

    @step
    def one(name: str) -> str:
        done.append(name)
        return name

    @app.function(int)
    def work(ctx: SyncContext[int]) -> str:
        first = one("first")
        ctx.sleep("1h")
        return first + one("second")

    async with TestEngine(app) as engine:
        run = await engine.start(work, 1)
        await engine.pause(run)
        await engine.advance("2h")
        assert done == ["first"]
        await engine.resume(run)
        assert run.output == "firstsecond"
        fork = await engine.fork(run, "sleep")
        await engine.advance("1h")
        assert (fork.output, done) == ("firstsecond", ["first", "second", "second"])


def test_a_rule_with_a_mistake_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigError, match=r"CancelOn\('a/\*'\), option 'event'"):
        CancelOn("a/*")
    with pytest.raises(ConfigError, match=r"CancelOn\('a'\), option 'match'"):
        CancelOn("a", match="no path")
    with pytest.raises(ConfigError, match=r"CancelOn\('a'\), option 'timeout'"):
        CancelOn("a", timeout="soon")
    with pytest.raises(ConfigError, match=r"'shop/work', option 'cancel_on': 6 rules"):
        App("shop").function(int, id="work", cancel_on=[CancelOn(f"e{n}") for n in range(6)])(_work)
    with pytest.raises(ConfigError, match=r"'shop/work', option 'labels'"):
        App("shop").function(int, id="work", labels={"gpu": ""})(_work)


async def _work(ctx: Context[int]) -> None: ...


TIMED = App("timed")


@TIMED.function(str)
async def timed(ctx: Context[str]) -> str:
    await asyncio.sleep(5)  # the run is at work all this time
    return ctx.data


async def test_a_run_that_only_waits_for_its_own_timer_is_cancelled_at_once() -> None:
    async with TestEngine(TIMED) as engine:
        run = await engine.start(timed, "a")
        await engine.cancel(run)
        assert run.status == "cancelled"


async def test_a_run_that_only_waits_for_its_own_timer_is_paused_at_once() -> None:
    async with TestEngine(TIMED) as engine:
        run = await engine.start(timed, "a")
        await engine.pause(run)
        await engine.advance("1m")
        assert run.status == "queued"
        await engine.resume(run)
        await engine.advance(5)
        assert run.output == "a"

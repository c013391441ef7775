"""A test moves the engine's clock, and gets its answer when all that became due has been fired."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import Raw
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming
from onward_engine.model import Run, Status
from onward_engine.settings import DAY_MS, Bounds, Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.web import CannotListen
from onward_protocol.messages import AppManifest, Assign, BatchRule, DebounceRule, FunctionManifest, Trigger, Wake

from tests.support import Network, simulate
from tests.unit.engine.peer import Peer, engine, park, send
from tests.unit.engine.web import ask

HOUR_MS = 3_600_000


async def advance(running: Engine, ms: int) -> int:
    """Move the clock as a client does; returns the engine's new time."""
    answer = await ask(running.app, "POST", "/v1/test/clock", {"advance_ms": ms})
    assert answer.status == 200, answer.body
    now_ms: int = answer.json["now_ms"]
    return now_ms


def test_what_became_due_has_been_fired_when_the_answer_comes() -> None:
    async def main(_: Network) -> None:
        async with engine(test_clock=True) as running:
            worker = await Peer(running).connect()
            run = await send(running)
            await park(worker, run, ms=HOUR_MS)
            before_ms = running.clock.wall_ms()
            await advance(running, HOUR_MS - 1)
            assert await status(running, run) is Status.PARKED
            assert HOUR_MS <= await advance(running, 1) - before_ms < HOUR_MS + 1_000
            assert await status(running, run) in (Status.READY, Status.ASSIGNED)
            await worker.next(Wake, run)

    simulate(main)


def test_each_timer_fires_at_its_own_moment() -> None:
    async def main(_: Network) -> None:
        async with engine(test_clock=True) as running:
            worker = await Peer(running).connect()
            runs = [await send(running) for _ in range(3)]
            for hours, run in enumerate(runs, 1):
                await park(worker, run, ms=hours * HOUR_MS)
            begin_ms = running.clock.wall_ms()
            await advance(running, DAY_MS)
            woken = [await worker.next(Wake, run) for run in runs]
            fired = [(entry.at_ms - begin_ms) / HOUR_MS for wake in woken for entry in wake.entries]
            assert fired == [1, 2, 3]

    simulate(main)


def test_more_timers_than_one_transaction_fires_are_all_fired() -> None:
    async def main(_: Network) -> None:
        async with engine(test_clock=True, bounds=replace(Bounds(), timers_max=2)) as running:
            worker = await Peer(running, slots=10).connect()
            runs = [await send(running) for _ in range(7)]
            for run in runs:
                await park(worker, run, ms=HOUR_MS)
            await advance(running, HOUR_MS)
            assert Status.PARKED not in [await status(running, run) for run in runs]

    simulate(main)


def test_flow_control_is_stepped_through_in_its_order() -> None:
    """A run gathers for 10 s, then waits for a worker for 5 s: by the time of the next event it is over."""
    late = FunctionManifest(
        "shop/late", (Trigger("told"),), debounce=DebounceRule(10_000), labels={"gpu": "none"}, start_timeout_ms=5_000
    )
    batched = FunctionManifest("shop/batched", (Trigger("told"),), batch=BatchRule(100, 3_600_000))
    app = AppManifest("shop", functions=(late, batched))

    async def main(_: Network) -> None:
        async with engine(test_clock=True) as running:
            worker = await Peer(running, apps=(app,), slots=10).connect()
            begin_ms = running.clock.wall_ms()
            told = Incoming(name="told", data=Raw(b"1"))
            batch, late_run = (await running.ingest.accept([told]))[0].runs
            await running.ingest.accept([told, Incoming(name="told", delay_ms=HOUR_MS // 2)])
            await advance(running, DAY_MS)
            assert (await found(running, late_run)).ended_at_ms - begin_ms in range(15_000, 16_000)
            assert len((await worker.next(Assign, batch)).events) == 3

    simulate(main)


async def found(running: Engine, id: str) -> Run:
    run = await running.store.run(id)
    assert run is not None
    return run


def test_leases_and_silences_do_not_hear_of_it() -> None:
    async def main(_: Network) -> None:
        async with engine(test_clock=True) as running:
            worker = await Peer(running).connect()
            await advance(running, 30 * DAY_MS)
            assert len(running.connections) == 1
            assert worker.session.close_code is None

    simulate(main)


def test_old_runs_are_deleted_on_the_way() -> None:
    async def main(_: Network) -> None:
        async with engine(test_clock=True) as running:
            worker = await Peer(running).connect()
            run = await send(running)
            await worker.complete(run)
            await advance(running, 31 * DAY_MS)
            assert await running.store.run(run) is None

    simulate(main)


def test_an_ordinary_engine_has_no_such_thing() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            assert (await ask(running.app, "POST", "/v1/test/clock", {"advance_ms": 1})).status == 404
            assert "/v1/test/clock" not in (await ask(running.app, "GET", "/v1/openapi.json")).body.decode()

    simulate(main)


@pytest.mark.parametrize("ms", [-1, 367 * DAY_MS, "soon"])
def test_time_goes_forward_and_not_for_ever(ms: object) -> None:
    async def main(_: Network) -> None:
        async with engine(test_clock=True) as running:
            assert (await ask(running.app, "POST", "/v1/test/clock", {"advance_ms": ms})).status == 422

    simulate(main)


async def test_it_listens_on_a_loopback_address_only() -> None:
    running = Engine(Settings(host="0.0.0.0", port=0, token="t", test_clock=True), MemoryStore())
    with pytest.raises(CannotListen, match=r"lets its clients move the time.*--test-clock"):
        await running.start()


async def status(running: Engine, run: str) -> Status:
    found = await running.store.run(run)
    assert found is not None
    return found.status

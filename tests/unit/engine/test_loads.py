"""How busy workers are, over all engines of a store; and how often places of a limit come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace
from onward_engine import rates
from onward_engine.commit import Committer
from onward_engine.loads import HEARD_MS
from onward_engine.rates import MOMENTS_MIN, WINDOW_MS, Rates
from onward_engine.store.port import Notices
from onward_protocol.messages import AppManifest, Assign, ConcurrencyLimit, FunctionManifest, Trigger

from tests.support import Network
from tests.unit.engine.peer import Peer, send
from tests.unit.engine.test_sharing import SWEEP_MS, Office, simulate
from tests.unit.engine.web import ask

TOLD_S = 2 * SWEEP_MS / 1000


async def get(running: Any, target: str) -> Any:
    return (await ask(running.app, "GET", target)).json


def test_an_engine_counts_the_workers_of_the_others_as_well() -> None:
    async def main(_: Network) -> None:
        async with Office().both() as (here, there):
            await Peer(here, instance="wrk_a", slots=4).connect()
            worker = await Peer(there, instance="wrk_b", slots=6).connect()
            await send(there)
            await worker.next(Assign)
            await asyncio.sleep(TOLD_S)
            scales = [await get(engine, "/v1/scale?app=shop") for engine in (here, there)]
            assert [(scale["slots"], scale["running"]) for scale in scales] == [(10, 1), (10, 1)]

    simulate(main)


def test_a_run_is_not_said_to_lack_a_worker_that_another_engine_has() -> None:
    async def main(_: Network) -> None:
        async with Office().both() as (here, there):
            labelled = FunctionManifest("shop/order", (Trigger("order/placed"),), labels={"gpu": "a100"})
            apps = (AppManifest("shop", functions=(labelled,)),)
            worker = Peer(there, slots=1, apps=apps)
            worker.hello = replace(worker.hello, labels={"gpu": "a100"})
            await worker.connect()
            first = await send(there)
            await worker.next(Assign, first)
            await asyncio.sleep(TOLD_S)
            run = await send(here)
            assert (await get(here, f"/v1/runs/{run}/why"))["code"] == "slots"

    simulate(main)


def test_a_limit_that_is_set_at_one_engine_lets_runs_in_at_the_worker_of_another_within_a_second() -> None:
    async def main(_: Network) -> None:
        async with Office().both() as (here, there):
            limited = FunctionManifest("shop/order", (Trigger("order/placed"),), (ConcurrencyLimit(1),))
            worker = await Peer(there, apps=(AppManifest("shop", functions=(limited,)),)).connect()
            runs = [await send(there) for _ in range(3)]
            await worker.next(Assign, runs[0])
            await asyncio.sleep(TOLD_S)  # the other engine has heard of the function
            body = {"option": "concurrency:0", "limit": 3}
            assert (await ask(here.app, "POST", "/v1/queues/shop/order/limits", body)).status == 200
            async with asyncio.timeout(1):
                await worker.next(Assign, runs[1])
                await worker.next(Assign, runs[2])

    simulate(main)


def test_an_engine_that_tells_nothing_more_counts_no_longer() -> None:
    async def main(_: Network) -> None:
        office = Office()
        async with office.engine() as here:
            async with office.engine() as there:
                await Peer(there, slots=6).connect()
                await asyncio.sleep(TOLD_S)
                told = [(await get(here, "/v1/scale"))["slots"]]
            await asyncio.sleep(HEARD_MS / 1000)
            told.append((await get(here, "/v1/scale"))["slots"])
        assert told == [6, 0]

    simulate(main)


# -- rates


class Listened:
    """A committer that the test speaks for, and its clock."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.told: list[Callable[[Notices], None]] = []

    def listen(self, listener: Callable[[Notices], None]) -> None:
        self.told.append(listener)

    def monotonic_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def free(self, *keys: str, after_ms: int = 0) -> None:
        self.now_ms += after_ms
        for listener in self.told:
            listener(Notices(freed=list(keys)))


@pytest.fixture
def listened() -> Listened:
    return Listened()


@pytest.fixture
def measured(listened: Listened) -> Rates:
    return Rates(cast("Committer", listened), listened)


def test_a_rate_is_told_once_there_were_enough_places(measured: Rates, listened: Listened) -> None:
    told: list[float | None] = []
    for _ in range(MOMENTS_MIN):
        told.append(measured.per_ms("k"))
        listened.free("k", after_ms=100)
    assert told == [None] * MOMENTS_MIN
    assert measured.per_ms("k") == pytest.approx(1 / 100)
    assert measured.per_ms("other") is None


def test_a_rate_falls_while_nothing_comes_back_and_ends_with_its_window(measured: Rates, listened: Listened) -> None:
    for _ in range(11):
        listened.free("k", after_ms=100)
    listened.now_ms += 1_000
    assert measured.per_ms("k") == pytest.approx(1 / 200)
    listened.now_ms += WINDOW_MS
    assert measured.per_ms("k") is None


def test_only_the_keys_that_are_used_are_kept(
    measured: Rates, listened: Listened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "KEYS_MAX", 2)
    for _ in range(MOMENTS_MIN):
        listened.free("a", "b", after_ms=1)
    listened.free("a", "c", after_ms=1)
    assert measured.per_ms("a") is not None
    assert measured.per_ms("b") is None

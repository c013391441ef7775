"""Queues over the API: why runs wait, how many do, limits that are set meanwhile, purging, and scaling."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec.structs import replace
from onward_engine.catalogue import Catalogue
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import PauseFunction, Register
from onward_protocol.messages import (
    AppManifest,
    Assign,
    ConcurrencyLimit,
    DebounceRule,
    EventWait,
    FairRule,
    FunctionManifest,
    Parked,
    SingletonRule,
    ThrottleRule,
    WaitOpened,
)

from tests.support import Network, simulate
from tests.unit.engine.peer import ORDER, Peer, engine, park
from tests.unit.engine.web import ask

KEY = "event.data.customer"


def limited(**options: Any) -> FunctionManifest:
    return replace(ORDER, **options)


ONE = limited(concurrency=(ConcurrencyLimit(1),))
KEYED = limited(concurrency=(ConcurrencyLimit(1, KEY),))


async def get(running: Engine, target: str) -> Any:
    answer = await ask(running.app, "GET", target)
    assert answer.status == 200, answer.body
    return answer.json


async def post(running: Engine, target: str, **body: Any) -> tuple[int, Any]:
    answer = await ask(running.app, "POST", target, body)
    return answer.status, answer.json


async def why(running: Engine, run: str) -> Any:
    return await get(running, f"/v1/runs/{run}/why")


async def send(running: Engine, customer: str = "ann") -> str:
    data = msgspec.Raw(msgspec.json.encode({"customer": customer}))
    (accepted,) = await running.ingest.accept([Incoming(name="order/placed", data=data)])
    return accepted.runs[0]


def peer(running: Engine, function: FunctionManifest = ONE, **options: Any) -> Peer:
    return Peer(running, apps=(AppManifest("shop", functions=(function,)),), **options)


def serve(function: FunctionManifest, main: Callable[[Engine, Peer], Awaitable[None]], **options: Any) -> None:
    """Run `main` with an engine and a worker that has this function."""

    async def inside(_: Network) -> None:
        async with engine() as running:
            worker = await peer(running, function, **options).connect()
            await main(running, worker)

    simulate(inside)


# -- why


def test_a_run_in_line_knows_its_limit_who_holds_it_and_its_position() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        first, second, third = [await send(running) for _ in range(3)]
        await worker.next(Assign, first)
        told = await why(running, third)
        assert (told["code"], told["position"], told["eta_ms"]) == ("concurrency", 2, None)
        assert told["waits_for"] == "a place of its limit concurrency:0: 1 of 1 are taken"
        assert told["blocking"] == {
            "option": "concurrency:0",
            "scope": "function",
            "expression": "",
            "value": "",
            "limit": 1,
            "declared": 1,
            "taken": 1,
            "offered": 0,
            "holders": [first],
        }
        assert (await why(running, second))["position"] == 1
        assert (await why(running, first))["code"] == "assigned"

    serve(ONE, main)


def test_a_limit_by_key_names_the_expression_and_the_value() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        first, second = await send(running, "bob"), await send(running, "bob")
        await worker.next(Assign, first)
        blocking = (await why(running, second))["blocking"]
        assert (blocking["expression"], blocking["value"]) == (KEY, "bob")

    serve(KEYED, main)


def test_the_time_in_line_is_told_once_places_have_come_back_often_enough() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        runs = [await send(running) for _ in range(6)]
        for run in runs[:3]:
            assert (await why(running, runs[-1]))["eta_ms"] is None
            await asyncio.sleep(10)
            await worker.complete(run)
        told = await why(running, runs[-1])
        assert told["position"] == 2
        assert 15_000 <= told["eta_ms"] <= 25_000, "a place comes back every ten seconds"

    serve(ONE, main)


def test_a_throttled_run_knows_when_it_begins() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        runs = [await send(running) for _ in range(3)]
        await worker.next(Assign, runs[0])
        told = await why(running, runs[2])
        assert (told["code"], told["position"]) == ("throttle", 2)
        assert 119_000 <= told["eta_ms"] <= 120_000
        next_in_ms = told["until_at_ms"] - running.clock.wall_ms()
        assert 59_000 <= next_in_ms <= 60_000

    serve(limited(throttle=ThrottleRule(1, 60_000)), main)


def test_a_run_that_gathers_events_says_how_many_it_has_and_until_when() -> None:
    async def main(running: Engine, _: Peer) -> None:
        run = await send(running)
        assert await send(running) == run
        told = await why(running, run)
        assert (told["code"], told["waits_for"]) == ("gathering", "more events: it has 2")
        assert 4_000 <= told["eta_ms"] <= 5_000

    serve(limited(debounce=DebounceRule(5_000)), main)


def test_a_newcomer_behind_a_singleton_waits_for_the_older_one() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        first = await send(running)
        epoch = (await worker.next(Assign, first)).epoch
        second = await send(running)
        assert epoch == 1
        told = await why(running, second)
        assert (told["code"], told["blocking"]["holders"]) == ("singleton", [first])

    serve(limited(singleton=SingletonRule(mode="cancel")), main)


def test_a_parked_run_tells_what_it_waits_for_and_a_sleep_when_it_ends() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        run = await send(running)
        await park(worker, run, ms=60_000)
        told = await why(running, run)
        assert (told["code"], [one["kind"] for one in told["awaited"]]) == ("parked", ["sleep"])
        assert 59_000 <= told["eta_ms"] <= 60_000

    serve(ORDER, main)


def test_nobody_knows_when_a_run_goes_on_that_waits_for_an_event() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        run = await send(running)
        epoch = (await worker.next(Assign, run)).epoch
        wait = WaitOpened("paid", EventWait("order/paid", timeout_ms=60_000))
        worker.report(run, epoch, 1, wait, outcome=Parked())
        await asyncio.sleep(1)
        told = await why(running, run)
        assert [(one["kind"], one["about"]) for one in told["awaited"]] == [("event", "order/paid")]
        assert told["eta_ms"] is None
        assert told["until_at_ms"] is not None, "its time ends then at the latest"

    serve(ORDER, main)


def test_a_run_of_a_lost_worker_waits_for_it_until_others_may_have_it() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        run = await send(running)
        await worker.next(Assign, run)
        worker.cut()
        await worker.gone()
        await asyncio.sleep(0.01)
        told = await why(running, run)
        assert (told["code"], told["worker"], told["eta_ms"]) == ("holder", "wrk_a", None)
        assert told["until_at_ms"] > running.clock.wall_ms()

    serve(ORDER, main)


@pytest.mark.parametrize(
    ("labels", "code"), [({"gpu": "a100"}, "labels"), ({}, "slots")], ids=["no labels", "no free slot"]
)
def test_a_run_that_could_begin_says_what_the_workers_lack(labels: dict[str, str], code: str) -> None:
    async def main(running: Engine, worker: Peer) -> None:
        first = await send(running)
        if not labels:
            await worker.next(Assign, first)
        assert (await why(running, await send(running)))["code"] == code

    serve(limited(labels=labels), main, slots=1)


def test_without_a_worker_it_says_which_one_is_missing() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        worker.cut()
        await worker.gone()
        run = await send(running)
        told = await why(running, run)
        assert (told["code"], told["waits_for"]) == ("no_worker", "a worker that has the function shop/order")
        assert (await get(running, f"/v1/runs/{run}"))["waiting_for"] == told["waits_for"]

    serve(ORDER, main)


def test_a_paused_function_and_a_paused_run_are_told_apart() -> None:
    async def main(running: Engine, _: Peer) -> None:
        await post(running, "/v1/functions/shop/order/pause")
        run = await send(running)
        assert (await why(running, run))["code"] == "function_paused"
        await post(running, f"/v1/runs/{run}/pause")
        assert (await why(running, run))["code"] == "run_paused"

    serve(ORDER, main)


def test_a_run_that_is_over_waits_for_nothing_and_an_unknown_one_is_not_explained() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        run = await send(running)
        await worker.complete(run)
        told = await why(running, run)
        assert (told["code"], told["status"], told["waits_for"]) == ("over", "completed", None)
        assert (await ask(running.app, "GET", "/v1/runs/run_none/why")).status == 404

    serve(ORDER, main)


# -- queues


def test_a_queue_counts_what_may_begin_apart_from_what_waits_for_a_limit() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        runs = [await send(running) for _ in range(4)]
        await worker.next(Assign, runs[0])
        [line] = (await get(running, "/v1/queues"))["queues"]
        oldest = (await get(running, f"/v1/runs/{runs[1]}"))["created_at_ms"]
        assert line == {
            "function": "shop/order",
            "app": "shop",
            "paused": False,
            "waiting": 3,
            "oldest_at_ms": oldest,
            "ready": 0,
            "later": 0,
            "limited": 3,
            "held": 0,
            "gathering": 0,
        }

    serve(ONE, main)


def test_the_list_of_queues_comes_in_pages() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            functions = tuple(FunctionManifest(f"shop/f{number}") for number in range(5))
            await Peer(running, apps=(AppManifest("shop", functions=functions),)).connect()
            seen: list[str] = []
            cursor: str | None = ""
            while cursor is not None:
                page = await get(running, f"/v1/queues?limit=2&cursor={cursor}")
                seen += [line["function"] for line in page["queues"]]
                cursor = page["cursor"]
            assert seen == [f"shop/f{number}" for number in range(5)]

    simulate(main)


def test_the_backlog_of_each_key_comes_in_pages_with_who_holds_the_places() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        first = {customer: await send(running, customer) for customer in ("ann", "bob", "cid")}
        for customer in ("ann", "bob", "bob"):
            await send(running, customer)
        await worker.next(Assign, first["bob"])
        page = await get(running, "/v1/queues/shop/order/keys?limit=1")
        [ann] = page["keys"]
        [bob] = (await get(running, f"/v1/queues/shop/order/keys?cursor={quote(page['cursor'])}"))["keys"]
        assert [(one["value"], one["waiting"]) for one in (ann, bob)] == [("ann", 1), ("bob", 2)]
        assert (bob["option"], bob["expression"], bob["limit"]) == ("concurrency:0", KEY, 1)
        assert bob["holders"] == [first["bob"]]

    serve(KEYED, main)


def test_the_backlog_of_a_fair_function_is_told_by_whose_turn_it_is_beside_that_of_its_limits() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        first = await send(running, "ann")
        await worker.next(Assign, first)
        for customer in ("ann", "ann", "bob", "cid"):
            await send(running, customer)
        seen: list[tuple[str, str, int]] = []
        cursor: str | None = ""
        while cursor is not None:
            target = f"/v1/queues/shop/order/keys?limit=2&cursor={quote(cursor)}"
            page = await get(running, target)
            seen += [(line["option"], line["value"], line["waiting"]) for line in page["keys"]]
            cursor = page["cursor"]
        turns = [("fair", "ann", 2), ("fair", "bob", 1), ("fair", "cid", 1)]
        assert seen == [("concurrency:0", "", 4), *turns]

    serve(limited(concurrency=(ConcurrencyLimit(1),), fair=FairRule(KEY)), main)


def test_an_unknown_queue_is_not_shown() -> None:
    async def main(running: Engine, _: Peer) -> None:
        for target in ("shop/none", "shop/none/keys"):
            assert (await ask(running.app, "GET", f"/v1/queues/{target}")).status == 404

    serve(ORDER, main)


# -- limits


def test_a_limit_that_is_raised_lets_in_who_waits_within_a_second_and_is_shown_beside_that_of_the_code() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        runs = [await send(running) for _ in range(3)]
        await worker.next(Assign, runs[0])
        status, line = await post(running, "/v1/queues/shop/order/limits", option="concurrency", limit=3, by="ann")
        assert status == 200
        async with asyncio.timeout(1):
            await worker.next(Assign, runs[1])
            await worker.next(Assign, runs[2])
        assert (line["limit"], line["declared"], line["override"]) == (3, 1, 3)
        [change] = (await get(running, "/v1/functions/shop/order"))["limits"][0]["changes"]
        assert (change["by"], change["before"], change["after"]) == ("ann", None, 3)
        assert (await get(running, "/v1/queues/shop/order"))["limits"] == [line]

    serve(ONE, main)


def test_a_limit_that_was_set_survives_the_next_registration() -> None:
    async def main(running: Engine, _: Peer) -> None:
        await post(running, "/v1/queues/shop/order/limits", option="concurrency:0", limit=3)
        await peer(running, limited(concurrency=(ConcurrencyLimit(2),)), instance="wrk_b").connect()
        [line] = (await get(running, "/v1/queues/shop/order"))["limits"]
        assert (line["limit"], line["declared"], line["override"]) == (3, 2, 3)

    serve(ONE, main)


@pytest.mark.parametrize(
    ("function", "body", "refused"),
    [
        ("none", {"option": "concurrency:0", "limit": 1}, (404, "unknown_function")),
        ("order", {"option": "throttle", "limit": 1}, (404, "unknown_option")),
        ("order", {"option": "concurrency:7", "limit": None}, (404, "unknown_option")),
        ("order", {"option": "concurrency:0", "limit": 0}, (422, "impossible_limit")),
        ("order", {"option": "concurrency:0"}, (422, "not_valid")),
        ("order", {"option": "concurrency:0", "limit": "many"}, (422, "not_valid")),
        ("order", {"option": "concurrency:0", "limit": 1, "by": "x" * 201}, (400, "bad_request")),
    ],
)
def test_a_limit_that_cannot_be_is_refused(function: str, body: Any, refused: tuple[int, str]) -> None:
    async def main(running: Engine, _: Peer) -> None:
        status, problem = await post(running, f"/v1/queues/shop/{function}/limits", **body)
        assert (status, problem["code"]) == refused

    serve(ONE, main)


async def test_all_functions_that_are_paused_count_however_many_they_are() -> None:
    store, names = MemoryStore(), [f"shop/f{number}" for number in range(1_100)]
    functions = tuple(FunctionManifest(name) for name in names)
    await store.apply([Register(1, AppManifest("shop", functions=functions))])
    await store.apply([PauseFunction(1, name, is_paused=True) for name in names])
    assert await Catalogue(store).paused() == set(names)


# -- purging


def test_purging_cancels_what_has_not_begun_and_nothing_else() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        runs = [await send(running) for _ in range(4)]
        await worker.next(Assign, runs[0])
        counted = await post(running, "/v1/queues/shop/order/purge", dry_run=True)
        assert (counted[0], counted[1]["count"], sorted(counted[1]["sample"])) == (202, 3, sorted(runs[1:]))
        assert (await why(running, runs[1]))["code"] == "concurrency", "nothing has changed"
        await post(running, "/v1/queues/shop/order/purge")
        gone = [await get(running, f"/v1/runs/{run}") for run in runs]
        assert [run["status"] for run in gone] == ["assigned", "cancelled", "cancelled", "cancelled"]
        assert gone[1]["cancel_reason"] == "purged"

    serve(ONE, main)


def test_purging_a_key_leaves_the_others() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        kept = [await send(running, "ann") for _ in range(2)]
        first, *gone = [await send(running, "bob") for _ in range(3)]
        await worker.next(Assign, first)
        _, answer = await post(running, "/v1/queues/shop/order/purge", key="bob", reason="too many")
        assert (answer["count"], sorted(answer["sample"])) == (2, sorted(gone))
        assert (await get(running, f"/v1/runs/{kept[1]}"))["status"] == "queued"

    serve(KEYED, main)


# -- scaling


def test_scaling_counts_what_could_begin_and_what_is_at_work_and_always_in_numbers() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        nothing = await get(running, "/v1/scale?app=shop")
        assert nothing == {
            "demand": 0,
            "backlog": 0,
            "running": 0,
            "slots": 2,
            "oldest_wait_ms": 0,
            "desired": 0,
        }
        first, second, *_ = [await send(running) for _ in range(5)]
        await worker.next(Assign, first)
        await worker.next(Assign, second)
        await asyncio.sleep(10)
        scale = await get(running, "/v1/scale?app=shop")
        assert (scale["demand"], scale["backlog"], scale["running"], scale["desired"]) == (5, 3, 2, 3)
        assert 10_000 <= scale["oldest_wait_ms"] <= 11_000
        assert await get(running, "/v1/scale") == await get(running, "/v1/scale?app=shop")
        assert (await get(running, "/v1/scale?app=other"))["demand"] == 0

    serve(ORDER, main, slots=2)


def test_more_workers_are_of_no_use_to_what_a_limit_or_a_pause_holds_back() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        runs = [await send(running) for _ in range(5)]
        await asyncio.sleep(0.01)
        assert (await get(running, "/v1/scale?app=shop"))["backlog"] == 0
        await worker.complete(runs[0])
        await post(running, "/v1/functions/shop/order/pause")
        await worker.complete(runs[1])
        assert (await get(running, "/v1/scale?app=shop"))["backlog"] == 0

    serve(ONE, main)


def test_without_any_worker_the_first_one_is_wanted() -> None:
    async def main(running: Engine, worker: Peer) -> None:
        worker.cut()
        await worker.gone()
        await send(running)
        scale = await get(running, "/v1/scale?app=shop")
        assert (scale["demand"], scale["slots"], scale["desired"]) == (1, 0, 1)

    serve(ORDER, main)

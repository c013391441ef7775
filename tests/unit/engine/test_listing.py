"""Runs that are looked for by what no index knows."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from onward_engine import listing
from onward_engine.engine import Engine
from onward_protocol.messages import (
    AppManifest,
    Assign,
    BatchRule,
    Failure,
    FunctionManifest,
    RunCompleted,
    RunFailed,
    Trigger,
)

from tests.support import Network, simulate
from tests.unit.engine.peer import Peer, engine
from tests.unit.engine.web import ask

APP = AppManifest(
    "shop",
    functions=(
        FunctionManifest("shop/order", (Trigger("order/placed"), Trigger("order/changed")), on_failure="shop/sorry"),
        FunctionManifest("shop/mail", (Trigger("order/placed"),)),
        FunctionManifest("shop/sorry"),
        FunctionManifest("shop/gather", (Trigger("order/gathered"),), batch=BatchRule(10, 60_000)),
    ),
)


def with_worker(check: Callable[[Engine, Peer], Coroutine[Any, Any, None]]) -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            await check(running, await Peer(running, slots=100, apps=(APP,)).connect())

    simulate(main)


async def send(running: Engine, name: str = "order/placed", **fields: Any) -> dict[str, Any]:
    answer = await ask(running.app, "POST", "/e", {"name": name, **fields})
    event: dict[str, Any] = answer.json["events"][0]
    return event


async def complete(worker: Peer, run: str, output: object) -> None:
    epoch = (await worker.next(Assign, run)).epoch
    worker.report(run, epoch, 1, outcome=RunCompleted(msgspec.msgpack.encode(output)))
    await ask(worker.engine.app, "GET", f"/v1/runs/{run}?wait_ms=1000")


async def listed(running: Engine, **query: str) -> list[str]:
    text = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    answer = await ask(running.app, "GET", f"/v1/runs?{text}")
    assert answer.status == 200, answer.json
    return [run["id"] for run in answer.json["runs"]]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ('run.status == "completed" && run.output.total > 10', 1),
        ("run.output.total > 5", 2),
        ("run.output.missing.deeper == null && run.status == 'completed'", 2),
        ("event.data.id == 1", 2),
        ("event.data.id == 1 && run.function == 'shop/order'", 1),
        ("run.steps > 0", 0),
        ("run.created_at_ms > 0 && run.ended_at_ms == null", 2),
        ("'vip' in run.tags", 0),
        ("run.worker == 'wrk_a'", 4),
    ],
)
def test_an_expression_speaks_of_the_run_and_its_event(where: str, count: int) -> None:
    async def check(running: Engine, worker: Peer) -> None:
        for number, total in ((1, 7), (2, 70)):
            event = await send(running, data={"id": number})
            functions = {await _function(running, run): run for run in event["runs"]}
            await complete(worker, functions["shop/order"], {"total": total})
        assert len(await listed(running, where=where)) == count

    with_worker(check)


async def _function(running: Engine, run: str) -> str:
    return str((await ask(running.app, "GET", f"/v1/runs/{run}")).json["function"])


def test_a_run_for_which_an_expression_cannot_be_evaluated_is_counted_and_left_out() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        for output in ("a text", 70):
            started = await ask(running.app, "POST", "/v1/runs", {"function": "shop/order"})
            await complete(worker, started.json["run"], output)
        page = (await ask(running.app, "GET", f"/v1/runs?where={quote('run.output > 10')}")).json
        assert (len(page["runs"]), page["unclear"]) == (1, 1)

    with_worker(check)


def test_runs_are_found_by_the_id_the_name_and_the_beginning_of_the_name_of_their_event() -> None:
    async def check(running: Engine, _: Peer) -> None:
        placed = await send(running, id="order-1")
        changed = await send(running, "order/changed")
        assert set(await listed(running, event=placed["id"])) == set(placed["runs"])
        assert await listed(running, event="order/changed") == changed["runs"]
        assert await listed(running, event="order/*") == [*changed["runs"], *reversed(placed["runs"])]
        functions = {await _function(running, run): run for run in placed["runs"]}
        assert await listed(running, event="order/*", function="shop/mail") == [functions["shop/mail"]]
        assert await listed(running, event="order") == []

    with_worker(check)


def test_a_run_is_found_by_every_event_that_joined_it() -> None:
    async def check(running: Engine, _: Peer) -> None:
        first, second = [await send(running, "order/gathered", data=n) for n in (1, 2)]
        assert first["runs"] == second["runs"]
        for event in (first, second):
            assert await listed(running, event=event["id"]) == first["runs"]
            shown = (await ask(running.app, "GET", f"/v1/events/{event['id']}")).json
            assert [one["id"] for one in shown["runs"]] == first["runs"]

    with_worker(check)


def test_the_run_that_handles_a_failure_is_found_by_the_event_of_the_failed_one() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        event = await send(running, "order/changed")
        [run] = event["runs"]
        worker.report(run, (await worker.next(Assign, run)).epoch, 1, outcome=RunFailed(Failure("E", "")))
        await ask(running.app, "GET", f"/v1/runs/{run}?wait_ms=1000")
        found = await listed(running, event=event["id"])
        assert len(found) == 2
        shown = (await ask(running.app, "GET", f"/v1/events/{event['id']}")).json
        assert [one["id"] for one in shown["runs"]] == found

    with_worker(check)


def test_runs_are_found_by_the_key_of_their_event() -> None:
    async def check(running: Engine, _: Peer) -> None:
        event = await send(running, "order/changed", key="u1")
        await send(running, "order/changed", key="u2")
        assert await listed(running, key="u1") == event["runs"]

    with_worker(check)


def test_a_page_has_as_many_as_were_asked_for_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_CHUNK", 3)

    async def check(running: Engine, _: Peer) -> None:
        runs = [(await send(running, "order/changed", data={"n": n}))["runs"][0] for n in range(10)]
        where = quote("event.data.n % 2 == 0")
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await ask(running.app, "GET", f"/v1/runs?limit=2&where={where}{cursor}")).json
            assert len(page["runs"]) <= 2
            seen += [run["id"] for run in page["runs"]]
            if page["cursor"] is None:
                break
            cursor = f"&cursor={page['cursor']}"
        assert seen == runs[-2::-2]

    with_worker(check)


def test_one_answer_looks_at_so_many_runs_and_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOKED_MAX", 4)

    async def check(running: Engine, _: Peer) -> None:
        wanted = (await send(running, "order/changed", data={"n": 0}))["runs"]
        for n in range(1, 8):
            await send(running, "order/changed", data={"n": n})
        where = quote("event.data.n == 0")
        first = (await ask(running.app, "GET", f"/v1/runs?where={where}")).json
        assert (first["runs"], first["cursor"] is None) == ([], False)
        second = (await ask(running.app, "GET", f"/v1/runs?where={where}&cursor={first['cursor']}")).json
        assert ([run["id"] for run in second["runs"]], second["cursor"]) == (wanted, None)

    with_worker(check)


def test_events_are_listed_and_shown_with_their_data_and_runs() -> None:
    async def check(running: Engine, _: Peer) -> None:
        event = await send(running, id="a/b", key="k", data={"id": [1, None]}, meta={"trace": "x"}, ts=5)
        await send(running, "note")
        page = (await ask(running.app, "GET", "/v1/events?limit=1")).json
        assert [one["name"] for one in page["events"]] == ["note"]
        [line] = (await ask(running.app, "GET", f"/v1/events?cursor={page['cursor']}")).json["events"]
        assert (line["id"], line["key"], line["ts_ms"], line["run_count"]) == ("a/b", "k", 5, 2)
        shown = (await ask(running.app, "GET", "/v1/events/a/b")).json
        assert (shown["data"], shown["meta"]) == ({"id": [1, None]}, {"trace": "x"})
        assert {run["id"] for run in shown["runs"]} == set(event["runs"])
        assert (await ask(running.app, "GET", "/v1/events/evt_x")).json["code"] == "unknown_event"

    with_worker(check)

"""The HTTP API, as a client sees it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from onward_engine.engine import Engine
from onward_engine.settings import Bounds
from onward_protocol.messages import Assign, Failure, RunCompleted, RunFailed, StepDone

from tests.support import Network, simulate
from tests.unit.engine.peer import Peer, engine, send
from tests.unit.engine.stores import Failing
from tests.unit.engine.web import ask

EVENT = {"name": "order/placed", "data": {"id": 1}}


def with_worker(check: Callable[[Engine, Peer], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run a check against an engine with one worker."""

    async def main(_: Network) -> None:
        async with engine(**settings) as running:
            await check(running, await Peer(running).connect())

    simulate(main)


def test_an_event_is_answered_with_the_runs_that_it_started() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        answer = await ask(running.app, "POST", "/e", EVENT)
        assert answer.status == 202
        (accepted,) = answer.json["events"]
        assert accepted["id"].startswith("evt_")
        await worker.next(Assign, accepted["runs"][0])

    with_worker(check)


def test_a_repeated_event_id_is_answered_as_the_first_time_and_starts_nothing() -> None:
    async def check(running: Engine, _: Peer) -> None:
        first = await ask(running.app, "POST", "/e", {**EVENT, "id": "order-1"})
        again = await ask(running.app, "POST", "/e", {**EVENT, "id": "order-1"})
        assert first.json == again.json
        assert len((await ask(running.app, "GET", "/v1/runs")).json["runs"]) == 1

    with_worker(check)


def test_the_same_event_id_for_another_event_is_a_conflict() -> None:
    async def check(running: Engine, _: Peer) -> None:
        await ask(running.app, "POST", "/e", {**EVENT, "id": "order-1"})
        answer = await ask(running.app, "POST", "/e", {**EVENT, "id": "order-1", "data": {"id": 2}})
        assert (answer.status, answer.json["code"]) == (409, "conflict")

    with_worker(check)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "not an event"),
        (b'{"data":{}}', 400, "`name`"),
        (b'{"name":5}', 400, "Expected `str`"),
        (b'{"name":""}', 400, "The event's name is empty."),
        (b'{"name":"shop/*"}', 400, "'shop/*' is a prefix and names no event."),
        (b'{"name":"a\\u0000b"}', 400, "cannot be printed"),
        (b'{"name":"\xff"}', 400, "not an event"),
        (b'{"name":"x","data":[' + b"[" * 70 + b"]" * 70 + b"]}", 400, "deeper than 64"),
        (b'{"name":"x","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "deep"),
        (b'{"name":"x","data":"' + b"y" * 600_000 + b'"}', 413, "512 KiB are allowed"),
        (b"[" + b",".join([b'{"name":"x"}'] * 5_001) + b"]", 413, "5000 are allowed"),
        (b" " * (16 * 1024 * 1024 + 1), 413, "larger than 16 MiB"),
        (b'{"name":"x","id":"' + b"y" * 300 + b'"}', 400, "300 bytes long"),
        (b'{"name":"x","ts":-1}', 400, "not a time"),
    ],
)
def test_a_bad_event_is_refused_with_one_clear_sentence(body: bytes, status: int, sentence: str) -> None:
    async def check(running: Engine, _: Peer) -> None:
        answer = await ask(running.app, "POST", "/e", body)
        assert answer.status == status
        assert sentence in answer.json["detail"]
        assert answer.headers["content-type"] == "application/problem+json"

    with_worker(check)


def test_of_a_request_with_one_bad_event_nothing_is_accepted() -> None:
    async def check(running: Engine, _: Peer) -> None:
        assert (await ask(running.app, "POST", "/e", [EVENT, {"name": ""}])).status == 400
        assert (await ask(running.app, "GET", "/v1/runs")).json["runs"] == []

    with_worker(check)


def test_a_full_disk_is_answered_503_with_when_to_come_back() -> None:
    async def main(_: Network) -> None:
        store = Failing()
        async with engine(store) as running:
            store.is_full = True
            answer = await ask(running.app, "POST", "/e", EVENT)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")

    simulate(main)


def test_a_function_is_started_with_json_and_its_result_is_waited_for() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        started = await ask(running.app, "POST", "/v1/runs", {"function": "shop/order", "input": {"id": 7}})
        run: str = started.json["run"]
        waiting = asyncio.create_task(ask(running.app, "GET", f"/v1/runs/{run}?wait_ms=60000"))
        assign = await worker.next(Assign, run)
        assert msgspec.msgpack.decode(assign.input) == {"id": 7}
        worker.report(run, assign.epoch, 1, outcome=RunCompleted(msgspec.msgpack.encode({"total": 9})))
        at_ms = running.clock.monotonic_ms()
        answer = await waiting
        assert running.clock.monotonic_ms() - at_ms < 10
        assert (answer.json["status"], answer.json["output"]) == ("completed", {"total": 9})

    with_worker(check)


@pytest.mark.parametrize(
    "input", [b'"input":18446744073709551616', b'"input_msgpack":"?"', b'"input_msgpack":"\\u00e9"']
)
def test_an_input_that_cannot_be_stored_starts_nothing(input: bytes) -> None:
    async def check(running: Engine, _: Peer) -> None:
        answer = await ask(running.app, "POST", "/v1/runs", b'{"function":"shop/order",' + input + b"}")
        assert (answer.status, answer.json["code"]) == (400, "bad_request")

    with_worker(check)


def test_starting_again_with_the_same_id_starts_nothing_new() -> None:
    async def check(running: Engine, _: Peer) -> None:
        body = {"function": "shop/order", "id": "order-1"}
        answers = [(await ask(running.app, "POST", "/v1/runs", body)).json["run"] for _ in range(2)]
        assert answers[0] == answers[1]
        assert answers[0].startswith("run_")

    with_worker(check)


def test_waiting_for_a_run_ends_after_the_time_asked_for() -> None:
    async def check(running: Engine, _: Peer) -> None:
        run = await send(running)
        at_ms = running.clock.monotonic_ms()
        answer = await ask(running.app, "GET", f"/v1/runs/{run}?wait_ms=5000")
        assert (answer.status, answer.json["status"]) == (200, "assigned")
        assert running.clock.monotonic_ms() - at_ms == 5_000

    with_worker(check)


def test_the_stored_bytes_of_an_output_are_returned_as_they_are() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        output = msgspec.msgpack.encode({"when": b"\x00\x01"})
        body = {"function": "shop/order", "input_msgpack": base64.b64encode(output).decode()}
        run: str = (await ask(running.app, "POST", "/v1/runs", body)).json["run"]
        await worker.complete(run, output)
        raw = await ask(running.app, "GET", f"/v1/runs/{run}/output", headers={"accept": "application/msgpack"})
        assert raw.body == output
        assert (await ask(running.app, "GET", f"/v1/runs/{run}/output")).json == {"when": "AAE="}

    with_worker(check)


def test_a_large_output_is_named_by_its_size_and_not_decoded() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await send(running)
        await worker.complete(run, msgspec.msgpack.encode("x" * 100_000))
        answer = await ask(running.app, "GET", f"/v1/runs/{run}")
        assert "too large to show" in answer.json["output"]
        assert answer.json["output_bytes"] > 100_000

    with_worker(check)


def test_a_failed_run_shows_its_error_and_has_no_output() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await send(running)
        epoch = (await worker.next(Assign, run)).epoch
        worker.report(run, epoch, 1, outcome=RunFailed(Failure("CardDeclined", "no money")))
        answer = await ask(running.app, "GET", f"/v1/runs/{run}?wait_ms=1000")
        assert answer.json["error"]["type"] == "CardDeclined"
        refused = await ask(running.app, "GET", f"/v1/runs/{run}/output")
        assert (refused.status, refused.json["code"]) == (409, "no_output")

    with_worker(check)


def test_the_steps_of_a_run_are_listed() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await send(running)
        epoch = (await worker.next(Assign, run)).epoch
        worker.report(run, epoch, 1, StepDone("load", msgspec.msgpack.encode(3), name="load"))
        await asyncio.sleep(0.1)
        (step,) = (await ask(running.app, "GET", f"/v1/runs/{run}/steps")).json["steps"]
        assert (step["key"], step["output"]) == ("load", 3)

    with_worker(check)


def test_the_steps_of_a_long_run_are_listed_in_pages() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        run = await send(running)
        epoch = (await worker.next(Assign, run)).epoch
        for n in range(1, 6):
            worker.report(run, epoch, n, StepDone(f"load {n}", b"\x03"))
        await asyncio.sleep(0.1)
        first = (await ask(running.app, "GET", f"/v1/runs/{run}/steps?limit=3")).json
        second = (await ask(running.app, "GET", f"/v1/runs/{run}/steps?limit=3&cursor={first['cursor']}")).json
        assert [len(first["steps"]), len(second["steps"]), second["cursor"]] == [3, 2, None]
        assert [step["key"] for step in first["steps"] + second["steps"]] == [f"load {n}" for n in range(1, 6)]

    with_worker(check)


def test_runs_are_listed_in_pages_newest_first() -> None:
    async def check(running: Engine, _: Peer) -> None:
        runs = [await send(running) for _ in range(5)]
        first = (await ask(running.app, "GET", "/v1/runs?limit=3")).json
        second = (await ask(running.app, "GET", f"/v1/runs?limit=3&cursor={first['cursor']}")).json
        assert [run["id"] for run in first["runs"] + second["runs"]] == runs[::-1]
        assert second["cursor"] is None

    with_worker(check)


def test_a_queued_run_is_cancelled_at_once_and_only_once() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            await Peer(running, slots=0).connect()
            run = await send(running)
            answer = await ask(running.app, "POST", f"/v1/runs/{run}/cancel", {"reason": "a mistake"})
            assert (answer.status, answer.json) == (202, {"status": "cancelled"})
            assert (await ask(running.app, "POST", f"/v1/runs/{run}/cancel")).status == 409

    simulate(main)


@pytest.mark.parametrize(
    "wanted", [{"reason": "a\0b"}, {"reason": "x" * 1_025}, {"cleanup_ms": 366 * 86_400_000 + 1}, {"cleanup_ms": 2**63}]
)
def test_what_not_every_store_takes_cancels_nothing(wanted: dict[str, Any]) -> None:
    async def check(running: Engine, _: Peer) -> None:
        run = await send(running)
        answer = await ask(running.app, "POST", f"/v1/runs/{run}/cancel", wanted)
        assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert (await ask(running.app, "POST", f"/v1/runs/{run}/cancel")).status == 202

    with_worker(check)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/runs/run_x", 404),
        ("GET", "/v1/runs/run_x/steps", 404),
        ("POST", "/v1/runs/run_x/cancel", 404),
        ("GET", "/v1/runs?status=happy", 400),
        ("GET", "/v1/runs?limit=many", 400),
        ("GET", "/v1/runs/run_x/steps?cursor=end", 400),
        ("DELETE", "/v1/runs", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_what_does_not_exist_is_answered_with_a_problem(method: str, target: str, status: int) -> None:
    async def check(running: Engine, _: Peer) -> None:
        answer = await ask(running.app, method, target)
        assert (answer.status, answer.json["status"]) == (status, status)
        assert answer.json["detail"]

    with_worker(check)


def test_a_function_that_nobody_has_registered_cannot_be_started() -> None:
    async def check(running: Engine, _: Peer) -> None:
        answer = await ask(running.app, "POST", "/v1/runs", {"function": "shop/nothing"})
        assert (answer.status, answer.json["code"]) == (404, "unknown_function")

    with_worker(check)


def test_functions_and_workers_are_listed() -> None:
    async def check(running: Engine, _: Peer) -> None:
        await asyncio.sleep(1)
        functions = (await ask(running.app, "GET", "/v1/functions")).json["functions"]
        workers = (await ask(running.app, "GET", "/v1/workers")).json["workers"]
        assert [(function["id"], function["triggers"]) for function in functions] == [("shop/order", ["order/placed"])]
        assert [(worker["instance"], worker["free"]) for worker in workers] == [("wrk_a", 4)]

    with_worker(check)


def test_a_long_wait_is_cut_to_what_proxies_allow() -> None:
    async def check(running: Engine, _: Peer) -> None:
        run = await send(running)
        at_ms = running.clock.monotonic_ms()
        await ask(running.app, "GET", f"/v1/runs/{run}?wait_ms=99999999")
        assert running.clock.monotonic_ms() - at_ms == 2_000

    with_worker(check, bounds=Bounds(wait_ms_max=2_000))

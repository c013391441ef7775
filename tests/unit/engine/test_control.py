"""Pausing, repeating and forking over the API; which worker a run is given to, by labels and by version."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from onward_engine import listing
from onward_engine.engine import Engine
from onward_engine.routes import bulk
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Assign,
    FunctionManifest,
    Halt,
    HandedBack,
    Parked,
    RunCompleted,
    Sleep,
    StepDone,
    WaitOpened,
)

from tests.support import Network, simulate
from tests.unit.engine.peer import NIL, ORDER, Peer, engine, send
from tests.unit.engine.web import ask


async def post(running: Engine, target: str, body: Any = b"") -> tuple[int, Any]:
    answer = await ask(running.app, "POST", target, body)
    return answer.status, answer.json


async def shown(running: Engine, run: str) -> Any:
    return (await ask(running.app, "GET", f"/v1/runs/{run}")).json


def test_a_paused_run_is_handed_back_and_says_what_it_waits_for() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            assert await post(running, f"/v1/runs/{run}/pause") == (202, {"status": "pausing"})
            assert (await worker.next(Halt, run)).epoch == epoch
            worker.report(run, epoch, 1, StepDone("a@0#0", NIL), outcome=HandedBack("paused"))
            await worker.next(Ack, run)
            seen = await shown(running, run)
            assert (seen["status"], seen["paused"], seen["waiting_for"]) == ("queued", True, "somebody to resume it")
            assert await post(running, f"/v1/runs/{run}/resume") == (202, {"status": "resumed"})
            assert (await worker.next(Assign, run)).epoch == epoch + 1

    simulate(main)


def test_a_worker_that_comes_back_hears_again_that_its_run_is_paused() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            await worker.next(Assign, run)
            await post(running, f"/v1/runs/{run}/pause")
            worker.cut()
            await worker.gone()
            await worker.connect()
            assert (await worker.next(Halt, run)).epoch == 1

    simulate(main)


def test_a_run_that_is_over_or_unknown_cannot_be_paused_or_resumed() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            await worker.complete(run)
            for what in ("pause", "resume"):
                status, problem = await post(running, f"/v1/runs/{run}/{what}")
                assert (status, problem["code"], problem["detail"]) == (409, "run_over", f"Run {run} is over already.")
                status, problem = await post(running, f"/v1/runs/run_nobody/{what}")
                assert (status, problem["code"]) == (404, "unknown_run")

    simulate(main)


def test_a_paused_function_is_shown_so_and_its_new_runs_wait() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            assert await post(running, "/v1/functions/shop/order/pause") == (
                200,
                {"function": "shop/order", "paused": True},
            )
            [line] = (await ask(running.app, "GET", "/v1/functions")).json["functions"]
            assert line["paused"]
            run = await send(running)
            assert (await shown(running, run))["waiting_for"] == "somebody to resume the function shop/order"
            await post(running, "/v1/functions/shop/order/resume")
            await worker.next(Assign, run)
            status, problem = await post(running, "/v1/functions/shop/nobody/pause")
            assert (status, problem["code"]) == (404, "unknown_function")

    simulate(main)


def test_a_rerun_with_the_same_request_id_is_made_once() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            await worker.complete(run)
            first = await post(running, f"/v1/runs/{run}/rerun", {"id": "again"})
            assert first == await post(running, f"/v1/runs/{run}/rerun", {"id": "again"})
            again = first[1]["run"]
            assign = await worker.next(Assign, again)
            assert (len(assign.events), assign.segments, assign.origins) == (1, (), ())
            assert (await shown(running, again))["origin"] == run
            assert (await post(running, f"/v1/runs/{run}/rerun"))[1]["run"] != again
            assert (await post(running, "/v1/runs/run_nobody/rerun"))[0] == 404

    simulate(main)


def test_a_fork_keeps_the_results_before_its_step_and_takes_another_input() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            done = (StepDone("a@0#0", b"\x01"), StepDone("b@0#0", b"\x02"))
            worker.report(run, epoch, 1, *done, outcome=RunCompleted(NIL))
            await worker.next(Ack, run)
            status, answer = await post(running, f"/v1/runs/{run}/fork", {"step": "b", "input": {"id": 2}, "id": "f"})
            assert status == 202
            assign = await worker.next(Assign, answer["run"])
            assert (assign.origins, assign.epoch, assign.events) == ((run,), 2, ())
            assert assign.input == b"\x81\xa2id\x02"
            assert [segment.epoch for segment in assign.segments] == [1]
            assert await post(running, f"/v1/runs/{run}/fork", {"step": "b", "id": "f"}) == (202, answer)

    simulate(main)


def test_a_step_that_cannot_be_forked_from_is_answered_with_those_that_can() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            status, problem = await post(running, f"/v1/runs/{run}/fork", {"step": "a"})
            assert (status, problem["code"]) == (409, "unknown_step")
            assert "has come to no step yet" in problem["detail"]
            twice = (StepDone("a@0#0", NIL), StepDone("a@0#1", NIL))
            worker.report(run, epoch, 1, *twice, outcome=RunCompleted(NIL))
            await worker.next(Ack, run)
            __, problem = await post(running, f"/v1/runs/{run}/fork", {"step": "a"})
            assert "has 2 steps 'a'; name one by its key: a@0#0, a@0#1" in problem["detail"]
            __, problem = await post(running, f"/v1/runs/{run}/fork", {"step": "z"})
            assert "has no step 'z'; it has a@0#0, a@0#1" in problem["detail"]

    simulate(main)


def test_many_runs_are_counted_and_then_cancelled() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            await Peer(running, slots=0).connect()
            runs = [await send(running) for __ in range(12)]
            wanted = {"function": "shop/order"}
            status, found = await post(running, "/v1/bulk/cancel", {**wanted, "dry_run": True})
            assert (status, found["count"], found["cursor"]) == (202, 12, None)
            assert found["sample"] == runs[::-1][:10]
            assert (await shown(running, runs[0]))["status"] == "queued"
            assert (await post(running, "/v1/bulk/cancel", {**wanted, "reason": "all"}))[1]["count"] == 12
            seen = [await shown(running, run) for run in runs]
            assert {(one["status"], one["cancel_reason"]) for one in seen} == {("cancelled", "all")}
            assert (await post(running, "/v1/bulk/cancel", wanted))[1]["count"] == 0

    simulate(main)


def test_many_runs_are_started_again_once_for_a_request() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            for __ in range(3):
                await worker.complete(await send(running))
            wanted = {"status": ["completed"], "request": "r1"}
            for __ in range(2):
                assert (await post(running, "/v1/bulk/rerun", wanted))[1]["count"] == 3
            runs = (await ask(running.app, "GET", "/v1/runs")).json["runs"]
            assert sorted(run["origin"] is None for run in runs) == [False] * 3 + [True] * 3

    simulate(main)


def test_a_request_that_is_repeated_leaves_alone_what_it_has_started() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            await worker.complete(await send(running))
            wanted = {"status": ["completed"], "request": "r1"}
            await post(running, "/v1/bulk/rerun", wanted)
            [again, _first] = (await ask(running.app, "GET", "/v1/runs")).json["runs"]
            await worker.complete(again["id"])
            assert (await post(running, "/v1/bulk/rerun", wanted))[1]["count"] == 1
            other = {**wanted, "request": "r2", "dry_run": True}
            assert (await post(running, "/v1/bulk/rerun", other))[1]["count"] == 2
            assert len((await ask(running.app, "GET", "/v1/runs")).json["runs"]) == 2

    simulate(main)


def test_runs_of_a_function_that_is_gone_do_not_keep_others_from_being_started_again() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            old = await Peer(running, apps=[versioned("1")]).connect()
            for function in ("shop/order", "shop/new"):
                started = await post(running, "/v1/runs", {"function": function})
                await old.complete(started[1]["run"])
            await Peer(running, instance="wrk_b", apps=[AppManifest("shop", "2", (ORDER,))]).connect()
            wanted = {"status": ["completed"], "request": "r1"}
            assert (await post(running, "/v1/bulk/rerun", wanted))[1]["count"] == 1

    simulate(main)


def test_a_request_looks_at_a_bounded_part_of_the_runs_even_if_it_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOKED_MAX", 1)
    monkeypatch.setattr(bulk, "LOOKS_MAX", 3)

    async def main(_: Network) -> None:
        async with engine() as running:
            await Peer(running, slots=0).connect()
            for __ in range(5):
                await send(running)
            wanted: dict[str, Any] = {"where": "run.steps > 0"}
            first = (await post(running, "/v1/bulk/cancel", wanted))[1]
            assert (first["count"], first["cursor"] is None) == (0, False)
            wanted["cursor"] = int(first["cursor"])
            assert (await post(running, "/v1/bulk/cancel", wanted))[1]["cursor"] is None

    simulate(main)


def test_without_a_condition_nothing_is_changed() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            status, problem = await post(running, "/v1/bulk/cancel", {"reason": "all"})
            assert (status, problem["code"]) == (400, "bad_request")
            assert "Say which runs" in problem["detail"]

    simulate(main)


GPU = AppManifest("shop", "1", (replace(ORDER, labels={"gpu": "a100"}),))


def test_only_a_worker_with_the_labels_gets_the_run() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            plain = await Peer(running, apps=[GPU]).connect()
            run = await send(running)
            reason = "a worker that has the function shop/order and the labels gpu=a100"
            assert (await shown(running, run))["waiting_for"] == reason
            other = Peer(running, instance="wrk_b", apps=[GPU])
            other.hello = replace(other.hello, labels={"gpu": "a100", "zone": "b"})
            await other.connect()
            await other.next(Assign, run)
            assert not [frame for frame in plain.frames if isinstance(frame, Assign)]

    simulate(main)


def versioned(version: str) -> AppManifest:
    return AppManifest("shop", version, (ORDER, FunctionManifest("shop/new")))


def test_a_run_goes_on_with_the_version_on_which_it_began_while_such_a_worker_is_there() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            old = await Peer(running, apps=[versioned("1")], slots=1).connect()
            run = await send(running)
            epoch = (await old.next(Assign, run)).epoch
            new = await Peer(running, instance="wrk_b", apps=[versioned("2")], slots=50).connect()
            for __ in range(3):
                old.report(run, epoch, 1, StepDone(f"in epoch {epoch}", NIL), outcome=HandedBack())
                old.holdings.drop(run)
                epoch = (await old.next(Assign, run)).epoch
            assert not [frame for frame in new.frames if isinstance(frame, Assign)]
            assert (await shown(running, run))["version"] == "1"

    simulate(main)


def test_when_the_old_version_has_no_slot_for_long_another_one_gets_the_run() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            old = await Peer(running, apps=[versioned("1")], slots=2).connect()
            runs = [await send(running), await send(running)]
            assigns = [await old.next(Assign, run) for run in runs]
            new = await Peer(running, instance="wrk_b", apps=[versioned("2")], slots=10).connect()
            await asyncio.sleep(6)  # it has said how many slots it has
            old.slots = 1
            begun_ms = running.clock.wall_ms()
            old.report(runs[0], assigns[0].epoch, 1, StepDone("a", NIL), outcome=HandedBack())
            old.holdings.drop(runs[0])
            await new.next(Assign, runs[0])
            assert 5_000 <= running.clock.wall_ms() - begun_ms < 5_100

    simulate(main)


def test_a_parked_run_that_is_paused_stays_at_its_worker() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.report(run, epoch, 1, WaitOpened("nap", Sleep(1_000)), outcome=Parked())
            await worker.next(Ack, run)
            assert await post(running, f"/v1/runs/{run}/pause") == (202, {"status": "paused"})
            await asyncio.sleep(2)
            assert not [frame for frame in worker.frames if not isinstance(frame, Assign) and hasattr(frame, "slot")]
            seen = await shown(running, run)
            assert (seen["status"], seen["worker"]) == ("ready", "wrk_a")

    simulate(main)

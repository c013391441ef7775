"""Schedules and delayed events over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from onward_engine.engine import Engine
from onward_protocol.messages import AppManifest, Assign, FunctionManifest, Refuse, Schedule, Trigger

from tests.support import Network, simulate
from tests.unit.engine.peer import Peer, engine
from tests.unit.engine.web import Answer, ask

HOUR_MS = 3_600_000
APP = AppManifest(
    "shop",
    functions=(
        FunctionManifest("shop/order", (Trigger("order/placed"),)),
        FunctionManifest("shop/nightly", schedules=(Schedule("0 3 * * *", "Europe/Berlin"), Schedule("@hourly"))),
        FunctionManifest("shop/weekly", schedules=(Schedule("@weekly", jitter_ms=HOUR_MS, overlap="skip"),)),
    ),
)

Check = Callable[[Engine, Peer], Coroutine[Any, Any, None]]


def with_worker(check: Check) -> None:
    """Run a check against a test engine with one worker. Its clock stands at the beginning of 2030."""

    async def main(_: Network) -> None:
        async with engine(test_clock=True) as running:
            await check(running, await Peer(running, apps=(APP,)).connect())

    simulate(main)


async def get(running: Engine, path: str) -> Any:
    answer = await ask(running.app, "GET", path)
    assert answer.status == 200, answer.body
    return answer.json


async def post(running: Engine, path: str, body: object = b"") -> Answer:
    return await ask(running.app, "POST", path, body)


def test_schedules_are_listed_by_function_in_pages() -> None:
    async def check(running: Engine, _: Peer) -> None:
        first = await get(running, "/v1/schedules?limit=2")
        rest = await get(running, f"/v1/schedules?limit=2&cursor={first['cursor']}")
        lines = [
            (one["function"], one["number"], one["expression"]) for one in (*first["schedules"], *rest["schedules"])
        ]
        assert lines == [
            ("shop/nightly", 0, "0 3 * * *"),
            ("shop/nightly", 1, "@hourly"),
            ("shop/weekly", 0, "@weekly"),
        ]
        only = await get(running, "/v1/schedules?function=shop/weekly")
        assert (len(only["schedules"]), only["cursor"], rest["cursor"]) == (1, None, None)

    with_worker(check)


def test_a_schedule_says_what_comes_next() -> None:
    async def check(running: Engine, _: Peer) -> None:
        weekly = await get(running, "/v1/schedules/shop/weekly/0")
        assert (weekly["overlap"], weekly["paused"], weekly["last_run"]) == ("skip", False, None)
        assert 0 <= weekly["fires_at_ms"] - weekly["next_at_ms"] <= HOUR_MS
        ticks = (await get(running, "/v1/schedules/shop/nightly/0/ticks?limit=2"))["ticks"]
        assert [tick["at"] for tick in ticks] == ["2030-01-01T03:00:00+01:00", "2030-01-02T03:00:00+01:00"]
        summer = await get(running, "/v1/schedules/shop/nightly/0/ticks?limit=1&after_ms=1909000000000")
        assert summer["ticks"][0]["at"] == "2030-06-30T03:00:00+02:00"

    with_worker(check)


def test_a_tick_is_assigned_and_shown() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        await post(running, "/v1/test/clock", {"advance_ms": HOUR_MS})
        assign = await worker.next(Assign)
        hourly = await get(running, "/v1/schedules/shop/nightly/1")
        assert (assign.function, hourly["last_run"]) == ("shop/nightly", assign.run)

    with_worker(check)


def test_a_schedule_rests_until_somebody_resumes_it() -> None:
    async def check(running: Engine, _: Peer) -> None:
        paused = (await post(running, "/v1/schedules/shop/nightly/1/pause")).json
        assert (paused["paused"], paused["next_at_ms"]) == (True, None)
        await post(running, "/v1/test/clock", {"advance_ms": HOUR_MS + 1})
        assert (await get(running, "/v1/runs"))["runs"] == []
        resumed = (await post(running, "/v1/schedules/shop/nightly/1/resume")).json
        assert resumed["next_at_ms"] - running.clock.wall_ms() <= HOUR_MS

    with_worker(check)


def test_the_past_is_made_up_for_once_and_can_be_looked_at_before() -> None:
    async def check(running: Engine, _: Peer) -> None:
        now_ms = running.clock.wall_ms()
        wanted = {"from_ms": now_ms - 3 * HOUR_MS, "until_ms": now_ms + 9 * HOUR_MS}
        path = "/v1/schedules/shop/nightly/1/backfill"
        dry = (await post(running, path, {**wanted, "dry_run": True})).json["ticks"]
        assert (await get(running, "/v1/runs"))["runs"] == []
        done = (await post(running, path, wanted)).json["ticks"]
        again = (await post(running, path, wanted)).json["ticks"]
        assert done == dry
        assert [tick["new"] for tick in done] == [True, True, True, True]  # up to now, and no further
        assert [tick["new"] for tick in again] == [False] * 4
        assert {run["id"] for run in (await get(running, "/v1/runs"))["runs"]} == {tick["run"] for tick in done}

    with_worker(check)


def test_too_many_ticks_at_once_are_refused() -> None:
    async def check(running: Engine, _: Peer) -> None:
        answer = await post(running, "/v1/schedules/shop/nightly/1/backfill", {"from_ms": 0, "until_ms": 2**52})
        assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert "more than 1,000 ticks" in answer.json["detail"]

    with_worker(check)


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    async def check(running: Engine, _: Peer) -> None:
        answer = await post(running, "/v1/schedules/shop/nightly/1/backfill", {"from_ms": 2, "until_ms": 1})
        assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert "ends before it begins" in answer.json["detail"]

    with_worker(check)


def test_there_are_no_ticks_beyond_all_calendars() -> None:
    async def check(running: Engine, _: Peer) -> None:
        schedule = "/v1/schedules/shop/nightly/0"
        assert (await get(running, f"{schedule}/ticks?after_ms={2**53}"))["ticks"] == []
        assert (await post(running, f"{schedule}/backfill", {"from_ms": 2**53, "until_ms": 2**53})).json["ticks"] == []
        assert len((await get(running, f"{schedule}/ticks?after_ms={2**47}"))["ticks"]) == 10

    with_worker(check)


def test_what_is_no_schedule_is_not_found() -> None:
    async def check(running: Engine, _: Peer) -> None:
        for path in ("shop/nightly/2", "shop/order/0", "shop/nobody/0", "shop/nightly/x", "shop/nightly/0000001"):
            answer = await ask(running.app, "GET", f"/v1/schedules/{path}")
            assert (answer.status, answer.json["code"]) == (404, "unknown_schedule"), path

    with_worker(check)


def test_a_worker_with_a_wrong_schedule_is_refused_with_function_and_option() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            wrong = AppManifest("shop", functions=(FunctionManifest("shop/f", schedules=(Schedule("61 * * * *"),)),))
            worker = await Peer(running, apps=(wrong,)).connect()
            message = (await worker.next(Refuse)).message
            assert message.startswith("shop/f, schedule '61 * * * *', option 'expression': ")

    simulate(main)


def test_a_delayed_event_is_listed_until_it_is_due() -> None:
    async def check(running: Engine, worker: Peer) -> None:
        event = {"name": "order/placed", "data": 1, "id": "mine", "delay_ms": HOUR_MS}
        (sent,) = (await post(running, "/e", event)).json["events"]
        assert (sent["runs"], sent["due_at_ms"]) == ([], running.clock.wall_ms() + HOUR_MS)
        (listed,) = (await get(running, "/v1/delayed-events"))["events"]
        assert (listed["id"], listed["name"], listed["due_at_ms"]) == ("mine", "order/placed", sent["due_at_ms"])
        await post(running, "/v1/test/clock", {"advance_ms": HOUR_MS})
        assert (await worker.next(Assign)).function in ("shop/order", "shop/nightly")
        assert (await get(running, "/v1/delayed-events"))["events"] == []

    with_worker(check)


def test_a_delayed_event_can_be_taken_back_once() -> None:
    async def check(running: Engine, _: Peer) -> None:
        await post(running, "/e", {"name": "order/placed", "id": "a/b c", "at_ms": running.clock.wall_ms() + HOUR_MS})
        assert (await ask(running.app, "DELETE", "/v1/delayed-events/a/b c")).status == 200
        answer = await ask(running.app, "DELETE", "/v1/delayed-events/a/b c")
        assert (answer.status, answer.json["code"]) == (404, "unknown_delayed_event")

    with_worker(check)


def test_delayed_events_are_listed_in_pages() -> None:
    async def check(running: Engine, _: Peer) -> None:
        await post(running, "/e", [{"name": "x", "id": f"e{n}", "delay_ms": 1_000} for n in range(5)])
        first = await get(running, "/v1/delayed-events?limit=3")
        rest = await get(running, f"/v1/delayed-events?limit=3&cursor={first['cursor']}")
        assert [one["id"] for one in (*first["events"], *rest["events"])] == ["e0", "e1", "e2", "e3", "e4"]
        assert rest["cursor"] is None

    with_worker(check)


def test_a_delay_that_makes_no_sense_is_refused() -> None:
    async def check(running: Engine, _: Peer) -> None:
        now_ms = running.clock.wall_ms()
        for delay in (
            {"delay_ms": -1},
            {"at_ms": -1},
            {"delay_ms": 1, "at_ms": now_ms},
            {"delay_ms": 367 * 24 * HOUR_MS},
            {"at_ms": 2**62},
        ):
            assert (await post(running, "/e", {"name": "x", **delay})).status == 400, delay

    with_worker(check)

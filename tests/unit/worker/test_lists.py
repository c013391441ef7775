"""Lists and what is followed, as both clients ask for them."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from onward import Client, SyncClient
from onward.calls import Answer, StepRecord
from onward.lists import Following, RunsWanted, listing_runs, selected

from .http_script import Script, scripted

WAITING = {"key": "nap", "kind": "sleep", "status": "waiting"}
ENDED = {"key": "nap", "kind": "wait", "status": "completed", "at_ms": 9}


@pytest.fixture
def engine() -> Iterator[Script]:
    with scripted() as script:
        yield script


@pytest.fixture
async def client(engine: Script) -> AsyncIterator[Client]:
    async with Client(engine.url) as client:
        yield client


def page(*steps: dict[str, Any], end: int, status: str = "assigned", cursor: str | None = None) -> dict[str, Any]:
    return {"steps": list(steps), "end": str(end), "status": status, "cursor": cursor}


def test_only_what_is_said_is_asked_for() -> None:
    assert listing_runs({}, 50, None).path == "/v1/runs?limit=50"


def test_every_filter_is_written_as_the_engine_reads_it() -> None:
    wanted: RunsWanted = {
        "status": ["failed", "cancelled"],
        "event": "shop/*",
        "tags": {"a": "1", "b": "x y"},
        "created_from": datetime(2026, 1, 1, tzinfo=UTC),
        "where": "run.attempt > 1",
    }
    query = parse_qs(urlsplit(listing_runs(wanted, 5, "77").path).query)
    assert query == {
        "status": ["failed", "cancelled"],
        "event": ["shop/*"],
        "tag": ["a=1", "b=x y"],
        "created_from_ms": ["1767225600000"],
        "where": ["run.attempt > 1"],
        "limit": ["5"],
        "cursor": ["77"],
    }
    assert selected({"status": "failed"}) == {"status": ["failed"]}


async def test_a_run_is_followed_to_its_end(client: Client, engine: Script) -> None:
    engine.reply(200, page(WAITING, end=1))
    engine.reply(200, page(ENDED, end=2, status="completed"))
    lines = [line async for line in client.follow("run_1")]
    assert [(line.key, line.kind, line.status) for line in lines] == [
        ("nap", "sleep", "waiting"),
        ("nap", "sleep", "completed"),
    ]
    assert [request.path.partition("?")[2] for request in engine.asked] == [
        "cursor=0&wait_ms=30000",
        "cursor=1&wait_ms=30000",
    ]


def test_it_is_followed_from_blocking_code_as_well(engine: Script) -> None:
    engine.reply(200, page(WAITING, end=1, status="completed"))
    with SyncClient(engine.url) as client:
        assert [line.key for line in client.follow("run_1")] == ["nap"]


def test_a_history_in_pages_is_not_over_before_its_last_page() -> None:
    following = Following("run_1")
    found: list[StepRecord] = []
    for body, is_over in (
        (page(WAITING, end=1, status="failed", cursor="1"), False),
        (page(end=2, status="failed"), True),
    ):
        found += following.add(Answer(200, msgspec.json.encode(body)))
        assert following.is_over == is_over
    assert len(found) == 1


async def test_events_and_functions_are_listed(client: Client, engine: Script) -> None:
    engine.reply(200, {"events": [{"id": "e", "name": "n"}], "cursor": None})
    engine.reply(200, {"id": "a b", "name": "n", "data": {"x": 1}, "runs": []})
    engine.reply(200, {"functions": [{"id": "shop/pay", "app": "shop"}]})
    engine.reply(200, {"id": "shop/pay", "app": "shop", "recent": {"runs": 0, "by_status": {}}})
    assert [event.id for event in (await client.list_events(name="n", limit=1)).events] == ["e"]
    assert (await client.get_event("a b")).data == {"x": 1}
    assert [one.id for one in await client.list_functions()] == ["shop/pay"]
    assert (await client.get_function("shop/pay")).recent["runs"] == 0
    paths = [request.path for request in engine.asked]
    assert paths == ["/v1/events?name=n&limit=1", "/v1/events/a%20b", "/v1/functions", "/v1/functions/shop/pay"]

"""The JSON API of a real engine: lists, filters and paging over runs that a real worker has made."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pytest
from onward import Event, SyncClient
from openapi_spec_validator import validate

from tests.support.processes import System

EVENT = "cmd/order.placed"


@dataclass
class Answer:
    """What the engine said."""

    status: int
    json: Any
    kind: str


@dataclass
class Shop:
    """An engine, a worker, and runs of every kind by the name that the tests have for them."""

    system: System
    runs: dict[str, str] = field(default_factory=dict[str, str])
    events: dict[str, str] = field(default_factory=dict[str, str])
    half_ms: int = 0  # a moment between the runs of ann and those of bob

    @property
    def client(self) -> SyncClient:
        return self.system.client

    def ask(self, path: str, method: str = "GET", body: object = None, token: str = "") -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token or self.system.token}", "content-type": "application/json"}
        request = Request(self.system.url + path, data, headers, method=method)
        try:
            with urlopen(request, timeout=60) as answer:
                return Answer(answer.status, json.loads(answer.read()), answer.headers["content-type"])
        except HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read()), error.headers["content-type"])

    def names(self, path: str) -> list[str]:
        """Ask for runs; return their names, those that the tests do not know left out."""
        answer = self.ask(path)
        assert answer.status == 200, answer.json
        known = {id: name for name, id in self.runs.items()}
        return [known[run["id"]] for run in answer.json["runs"] if run["id"] in known]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with System(tmp_path_factory.mktemp("api")) as system:
        system.engine()
        system.worker("tests.system.apps.shop:functions")
        shop = Shop(system)
        for customer, total in (("ann", 5), ("bob", 50)):
            [sent] = shop.client.send(Event(EVENT, {"customer": customer, "total": total}, key=f"k-{customer}"))
            shop.events[customer] = sent.id
            shop.runs[customer] = sent.runs[0].id
            sent.runs[0].result(timeout="30s")
            if not shop.half_ms:
                time.sleep(0.02)
                shop.half_ms = round(time.time() * 1000)
                time.sleep(0.02)
        shop.runs["failed"] = shop.client.start("cmd/failing", "broken").id
        shop.client.wait(shop.runs["failed"], timeout="30s")
        shop.runs["waiting"] = shop.client.start("cmd/approval", "never").id
        while shop.client.get_run(shop.runs["waiting"]).status != "parked":
            time.sleep(0.01)
        yield shop


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "waiting failed bob ann"),
        ("status=parked", "waiting"),
        ("status=failed", "failed"),
        ("status=failed,parked", "waiting failed"),
        ("status=failed&status=completed", "failed bob ann"),
        ("function=cmd/order", "bob ann"),
        ("function=cmd/order&status=failed", ""),
        ("event=cmd/order.placed", "bob ann"),
        ("event=cmd/*", "bob ann"),
        ("event=nothing", ""),
        ("key=k-ann", "ann"),
        ("tag=customer%3Dbob", "bob"),
        ("tag=customer%3Dbob&tag=plan%3Dpro", ""),
        ("tag=customer%3Dann&status=completed&function=cmd/order", "ann"),
        ("where=" + quote("run.output.total > 10"), "bob"),
        ("where=" + quote('run.status == "failed" && run.error.type == "ValueError"'), "failed"),
        ("where=" + quote("event.data.total < 10"), "ann"),
        ("where=" + quote('run.tags["customer"] == "ann" || run.status == "parked"'), "waiting ann"),
    ],
)
def test_a_filter_finds_exactly_its_runs_newest_first(shop: Shop, query: str, names: str) -> None:
    assert shop.names(f"/v1/runs?{query}") == names.split()


def test_runs_are_found_by_the_id_of_their_event(shop: Shop) -> None:
    assert shop.names(f"/v1/runs?event={shop.events['ann']}") == ["ann"]


def test_runs_are_found_by_time(shop: Shop) -> None:
    assert shop.names(f"/v1/runs?created_until_ms={shop.half_ms}") == ["ann"]
    assert shop.names(f"/v1/runs?created_from_ms={shop.half_ms}&function=cmd/order") == ["bob"]
    assert shop.names(f"/v1/runs?ended_until_ms={shop.half_ms}") == ["ann"]
    assert shop.names(f"/v1/runs?ended_from_ms={shop.half_ms}") == ["failed", "bob"]


def test_a_run_is_found_by_the_beginning_of_its_id(shop: Shop) -> None:
    assert shop.names(f"/v1/runs?id={shop.runs['ann'][:-4]}") == ["ann"]


def test_pages_are_stable_while_new_runs_come(shop: Shop) -> None:
    whole = [run["id"] for run in shop.ask("/v1/runs?function=cmd/order").json["runs"]]
    seen: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = shop.ask(f"/v1/runs?function=cmd/order&limit=1&cursor={cursor}").json
        seen += [run["id"] for run in page["runs"]]
        cursor = page["cursor"]
        [sent] = shop.client.send(Event(EVENT, {"customer": "late", "total": 1}))
        sent.runs[0].result(timeout="30s")
    assert seen == whole


def test_a_rare_run_is_found_page_by_page(shop: Shop) -> None:
    query = {"where": 'event.data.customer == "ann"', "limit": 1}
    page = shop.ask(f"/v1/runs?{urlencode(query)}").json
    assert [run["id"] for run in page["runs"]] == [shop.runs["ann"]]


def test_a_run_is_shown_with_its_input_output_tags_and_events(shop: Shop) -> None:
    run = shop.ask(f"/v1/runs/{shop.runs['bob']}").json
    assert run["output"] == {"total": 50, "receipt": "paid 50"}
    assert (run["tags"], run["events"], run["paused"]) == ({"customer": "bob"}, [shop.events["bob"]], False)
    where = quote('run.output == "paid 50"')
    [child] = shop.ask(f"/v1/runs?function=cmd/receipt&where={where}").json["runs"]
    shown = shop.ask(f"/v1/runs/{child['id']}").json
    assert (shown["input"], shown["parent"]) == (50, shop.runs["bob"])


def test_a_failed_run_is_shown_with_its_error(shop: Shop) -> None:
    run = shop.ask(f"/v1/runs/{shop.runs['failed']}").json
    assert (run["error"]["type"], run["error"]["message"]) == ("ValueError", "broken")
    refused = shop.ask(f"/v1/runs/{shop.runs['failed']}/output")
    assert (refused.status, refused.json["code"]) == (409, "no_output")


def test_the_steps_of_a_run_say_what_how_often_and_when(shop: Shop) -> None:
    steps = shop.ask(f"/v1/runs/{shop.runs['ann']}/steps").json["steps"]
    assert [(step["kind"], step["status"], step["attempts"]) for step in steps] == [
        ("step", "completed", 1),
        ("step", "completed", 2),
        ("sleep", "completed", 1),
        ("invoke", "completed", 1),
    ]
    assert [step["about"] for step in steps] == [None, None, None, "cmd/receipt"]
    assert steps[2]["at_ms"] - steps[2]["began_at_ms"] == 50


def test_events_are_listed_by_name_key_and_time(shop: Shop) -> None:
    def ids(query: str) -> list[str]:
        return [event["id"] for event in shop.ask(f"/v1/events?{query}").json["events"]]

    assert ids("key=k-ann") == ids("key=k-ann&name=cmd/*") == [shop.events["ann"]]
    assert ids(f"name={EVENT}&received_until_ms={shop.half_ms}") == [shop.events["ann"]]
    assert shop.events["ann"] not in ids(f"received_from_ms={shop.half_ms}")
    assert ids("name=nothing") == []


def test_events_come_in_pages(shop: Shop) -> None:
    first = shop.ask("/v1/events?limit=1").json
    second = shop.ask(f"/v1/events?limit=1&cursor={first['cursor']}").json
    assert first["events"][0]["id"] != second["events"][0]["id"]


def test_an_event_is_shown_with_its_payload_and_the_runs_that_it_started(shop: Shop) -> None:
    event = shop.ask(f"/v1/events/{shop.events['bob']}").json
    assert (event["name"], event["data"]) == (EVENT, {"customer": "bob", "total": 50})
    assert [run["id"] for run in event["runs"]] == [shop.runs["bob"]]


def test_functions_are_listed_and_shown(shop: Shop) -> None:
    listed = {one["id"]: one for one in shop.ask("/v1/functions").json["functions"]}
    assert listed["cmd/order"]["triggers"] == [EVENT]
    assert listed["cmd/yearly"]["schedules"] == ["0 0 1 1 *"]
    shown = shop.ask("/v1/functions/cmd/failing").json
    assert shown["concurrency"] == [{"limit": 2, "key": ""}]
    assert shown["recent"]["by_status"]["failed"] >= 1


def test_a_paused_function_says_so(shop: Shop) -> None:
    shop.ask("/v1/functions/cmd/receipt/pause", "POST")
    assert shop.ask("/v1/functions/cmd/receipt").json["paused"]
    shop.ask("/v1/functions/cmd/receipt/resume", "POST")
    assert not shop.ask("/v1/functions/cmd/receipt").json["paused"]


def test_the_worker_is_listed(shop: Shop) -> None:
    [worker] = shop.ask("/v1/workers").json["workers"]
    assert (worker["apps"], worker["draining"]) == (["cmd"], False)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("GET", "/v1/runs/run_x", None, 404, "unknown_run"),
        ("GET", "/v1/runs/run_x/steps", None, 404, "unknown_run"),
        ("GET", "/v1/events/evt_x", None, 404, "unknown_event"),
        ("GET", "/v1/functions/cmd/nothing", None, 404, "unknown_function"),
        ("PUT", "/v1/runs", {}, 405, "method_not_allowed"),
        ("GET", "/v1/runs?where=run.", None, 400, "bad_expression"),
        ("GET", "/v1/runs?color=red", None, 400, "bad_request"),
        ("POST", "/v1/runs", {"function": 7}, 422, "not_valid"),
        ("POST", "/v1/runs", {"function": "cmd/nothing"}, 404, "unknown_function"),
        ("POST", "/v1/bulk/cancel", {}, 400, "bad_request"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_a_stable_code(
    shop: Shop, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = shop.ask(path, method, body)
    assert (answer.status, answer.json["status"], answer.json["code"]) == (status, status, code)
    assert answer.kind == "application/problem+json"
    assert answer.json["detail"]


def test_nobody_is_answered_without_the_token(shop: Shop) -> None:
    for path in ("/v1/runs", "/v1/openapi.json", "/v1/events"):
        assert shop.ask(path, token="wrong").status == 401


def test_the_document_describes_what_is_answered(shop: Shop) -> None:
    document = shop.ask("/v1/openapi.json").json
    validate(document)
    fields = document["components"]["schemas"]["RunView"]["properties"]
    assert set(shop.ask(f"/v1/runs/{shop.runs['ann']}").json) == set(fields)


def test_whoever_follows_a_run_is_answered_when_a_step_finishes(shop: Shop) -> None:
    """A few milliseconds on a machine that has nothing else to do."""
    run = shop.client.start("cmd/gates", ["api-one"]).id
    took: list[float] = []

    def follow() -> None:
        steps = shop.ask(f"/v1/runs/{run}/steps?wait_ms=30000").json["steps"]
        took.append(time.monotonic())
        assert [step["key"] for step in steps] == ["wait_for_file@0#0"]

    following = threading.Thread(target=follow)
    following.start()
    time.sleep(0.3)  # so that it waits
    begin = time.monotonic()
    shop.system.home.joinpath("api-one").touch()
    following.join(30)
    assert took[0] - begin < 0.5

"""`worker queues`, `worker runs why` and set limits, over a real engine and a real worker."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from onward import Client, Event

from tests.support.processes import System, wait_for
from tests.system.test_commands import Shop

FUNCTION = "desk/serve"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with System(tmp_path_factory.mktemp("queues")) as system:
        system.engine()
        system.worker("tests.system.apps.queue:functions")
        yield Shop(system)


def ask(desk: Shop, customer: str, count: int = 1) -> list[str]:
    events = [Event("desk/asked", {"customer": customer}) for _ in range(count)]
    return [sent.runs[0].id for sent in desk.system.client.send(*events)]


def status(desk: Shop, run: str) -> str:
    return desk.system.client.get_run(run).status


def queue_up(desk: Shop, customer: str, count: int) -> list[str]:
    """Start runs of one customer; the first one has the place when this returns."""
    runs = ask(desk, customer, count)
    wait_for(lambda: status(desk, runs[0]) == "parked", "the first one waits")
    return runs


def test_a_run_in_line_says_what_it_waits_for_and_who_has_it(desk: Shop) -> None:
    first, _, third = queue_up(desk, "ann", 3)
    told = desk.worker("runs", "why", third, "-o", "json").json
    assert (told["code"], told["position"], told["eta_ms"]) == ("concurrency", 2, None)
    assert told["blocking"]["holders"] == [first]
    lines = dict(line.split("  ", 1) for line in desk.worker("runs", "why", third).out.splitlines())
    assert "'ann': 1 of 1 are taken" in lines["waits for"]
    assert (lines["held by"].strip(), lines["position"].strip()) == (first, "2")


def test_a_run_that_waits_for_its_own_code_says_so(desk: Shop) -> None:
    [run] = queue_up(desk, "bob", 1)
    assert "signal done" in desk.worker("runs", "why", run).out


def test_a_run_that_is_over_says_why(desk: Shop) -> None:
    [run] = queue_up(desk, "gus", 1)
    desk.system.client.cancel(run, reason="closed", cleanup="0s")
    wait_for(lambda: status(desk, run) == "cancelled", "it is over")
    told = dict(line.split("  ", 1) for line in desk.worker("runs", "why", run).out.splitlines())
    assert (told["waits for"], told["because"].strip()) == ("nothing: it is over", "closed")


def test_queues_are_listed_with_what_waits_in_them_and_for_which_key(desk: Shop) -> None:
    runs = queue_up(desk, "cid", 3)
    [line] = desk.worker("queues", "list", "-o", "json").json
    assert line["id"] == FUNCTION
    assert line["limited"] >= 2
    keys = {one["value"]: one for one in desk.worker("queues", "keys", FUNCTION, "-o", "jsonl").lines}
    assert (keys["cid"]["waiting"], keys["cid"]["taken"], keys["cid"]["holders"]) == (2, 1, runs[:1])
    assert "cid" in desk.worker("queues", "keys", FUNCTION).out
    assert desk.worker("queues", "list", "-o", "id").out.split() == [FUNCTION]


def test_a_limit_that_is_set_lets_in_who_waits_within_a_second_and_is_shown_with_that_of_the_code(desk: Shop) -> None:
    _, second, _ = queue_up(desk, "dan", 3)
    begun = time.monotonic()
    ended = desk.worker("queues", "set-limit", FUNCTION, "concurrency", "2", "--by", "ann")
    assert (ended.status, ended.out) == (0, "")
    wait_for(lambda: status(desk, second) == "parked", "the second one has begun")
    assert time.monotonic() - begun < 5, "it takes a second, on a machine that has one"
    for shown in (desk.worker("queues", "show", FUNCTION).out, desk.worker("functions", "show", FUNCTION).out):
        assert "2 (set by ann at" in shown
        assert "the code says 1)" in shown
    back = desk.worker("queues", "set-limit", FUNCTION, "concurrency:0", "--reset", "-o", "json").json
    assert (back["limit"], back["override"], len(back["changes"])) == (1, None, 2)


def test_purging_is_counted_first_and_then_done(desk: Shop) -> None:
    runs = queue_up(desk, "eve", 3)
    counted = desk.worker("queues", "purge", FUNCTION, "--key", "eve", "-o", "json")
    assert (counted.status, counted.json["runs"], counted.json["done"]) == (2, 2, False)
    assert "E0510" in counted.err
    done = desk.worker("queues", "purge", FUNCTION, "--key", "eve", "--reason", "gone", "--yes", "-o", "json")
    assert (done.status, done.json["runs"]) == (0, 2)
    assert [status(desk, run) for run in runs] == ["parked", "cancelled", "cancelled"]
    assert desk.system.client.get_run(runs[1]).cancel_reason == "gone"


def test_the_client_knows_how_much_there_is_to_do(desk: Shop) -> None:
    scale = desk.system.client.get_scale("desk")
    assert scale.slots > 0
    assert scale.demand == scale.backlog + scale.running
    assert desk.system.client.get_queue(FUNCTION).options["concurrency"][0]["of"] == "run"


async def test_the_asynchronous_client_can_do_the_same(desk: Shop) -> None:
    first, _, third = queue_up(desk, "fay", 3)
    async with Client(desk.system.url, desk.system.token) as client:
        told = await client.why(third)
        assert told.blocking is not None
        assert (told.code, told.position, told.blocking.holders) == ("concurrency", 2, (first,))
        assert [queue.function for queue in (await client.list_queues()).queues] == [FUNCTION]
        assert "fay" in [key.value for key in (await client.list_keys(FUNCTION)).keys]
        assert (await client.set_limit(FUNCTION, "concurrency:0", 7, by="bob")).override == 7
        assert (await client.get_queue(FUNCTION)).limits[0].changes[0].by == "bob"
        wait_for(lambda: status(desk, third) == "parked", "all have begun")
        assert (await client.set_limit(FUNCTION, "concurrency:0", None)).limit == 1
        assert (await client.purge_queue(FUNCTION, key="fay", dry_run=True)).count == 0
        scale = await client.get_scale()
        assert scale.demand == scale.backlog + scale.running


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["runs", "why", "run_nothing"], 3, "E0411"),
        (["queues", "show", "desk/nothing"], 3, "E0412"),
        (["queues", "keys", "desk/nothing"], 3, "E0412"),
        (["queues", "purge", "desk/nothing"], 3, "E0412"),
        (["queues", "set-limit", FUNCTION, "throttle", "3"], 3, "E0431"),
        (["queues", "set-limit", FUNCTION, "concurrency", "0"], 2, "E0432"),
        (["queues", "set-limit", FUNCTION, "concurrency"], 2, "E0511"),
        (["queues", "set-limit", FUNCTION, "concurrency", "3", "--reset"], 2, "E0511"),
    ],
)
def test_what_cannot_be_done_ends_with_a_status_and_a_code(
    desk: Shop, arguments: list[str], status: int, code: str
) -> None:
    ended = desk.worker(*arguments)
    assert (ended.status, code in ended.err) == (status, True), ended.err


def test_a_function_name_that_is_almost_right_is_guessed(desk: Shop) -> None:
    assert "did you mean desk/serve?" in desk.worker("queues", "show", "desk/sreve").err

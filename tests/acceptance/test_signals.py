"""Signals, callbacks, detached runs, tags and progress: over any crash, by clients and by strangers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from onward import App, Context, Function, Retry, StartedRun, SyncContext
from onward.errors import EngineRefused

from tests.acceptance.bodies import noted
from tests.acceptance.house import House

functions = App("signals", retry=Retry(attempts=1))


@dataclass
class Decision:
    approved: bool
    by: str = ""


def post(url: str, body: object = None, method: str = "POST") -> int:
    """Answer a callback as any program would, without a token; return the status."""
    request = Request(url, json.dumps(body).encode() if method == "POST" else None, method=method)
    try:
        with urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except HTTPError as refused:
        return refused.code


def url_of(house: House, name: str) -> str:
    """Return the address that a run has handed out."""
    house.until(lambda: bool(house.lines(f"url {name} ")), "the address is known")
    [url] = house.lines(f"url {name} ")
    return url


# -- signals


@functions.function(str)
async def approval(ctx: Context[str]) -> str:
    await ctx.step.run("ask", noted, f"asked {ctx.data}")
    decision = await ctx.wait_for_signal("decision", Decision, timeout="1h")
    if decision is None:
        return "late"
    return await ctx.step.run("act", noted, f"{decision.approved} by {decision.by}")


@functions.function(str)
def approval_in_a_thread(ctx: SyncContext[str]) -> str:
    decision = ctx.wait_for_signal("decision", Decision, timeout="1h")
    return "late" if decision is None else decision.by


@pytest.mark.every_store
def test_a_signal_reaches_the_run_that_waits_for_it(house: House, name: str) -> None:
    run, other = house.start(approval, name), house.start(approval, name)
    house.wait_status(run, "parked")
    run.signal("decision", Decision(True, "ann"))
    assert house.result(run) == "True by ann"
    assert other.status() in ("assigned", "parked", "ready", "queued")
    other.cancel()


@pytest.mark.every_store
def test_signals_that_come_early_survive_a_restart_of_everything(house: House, name: str) -> None:
    with house.no_worker():
        run = house.start(collect, 3)
        for number in (1, 2):
            run.signal("number", number)
    house.until(lambda: len(house.steps(run, "signal")) == 3, "the third wait is open")
    house.kill_worker()
    house.restart_engine()
    house.start_worker()
    run.signal("number", 3)
    assert house.result(run) == [1, 2, 3]


@functions.function(int)
async def collect(ctx: Context[int]) -> list[int | None]:
    return [await ctx.wait_for_signal("number", int) for _ in range(ctx.data)]


def test_a_signal_without_a_run_goes_to_whoever_waits_for_it(house: House, name: str) -> None:
    run = house.start(waits_for, name)
    house.wait_status(run, "parked")
    assert house.client.signal(name, 7) == run.id
    assert house.result(run) == 7
    with pytest.raises(EngineRefused, match="No run waits for a signal") as refused:
        house.client.signal(name, 7)
    assert refused.value.status == 404


@functions.function(str)
async def waits_for(ctx: Context[str]) -> int | None:
    return await ctx.wait_for_signal(ctx.data, int)


def test_a_repeated_signal_counts_once(house: House, name: str) -> None:
    run = house.start(collect, 2)
    for _ in range(3):
        run.signal("number", 1, id=name)
    run.signal("number", 2)
    assert house.result(run) == [1, 2]


def test_a_signal_to_a_run_that_is_over_is_refused_clearly(house: House, name: str) -> None:
    run = house.start(approval_in_a_thread, name)
    run.signal("decision", Decision(False, "bob"))
    assert house.result(run) == "bob"
    with pytest.raises(EngineRefused, match="over already") as refused:
        run.signal("decision", Decision(True))
    assert refused.value.status == 409


def test_a_wait_for_a_signal_ends_at_its_timeout(house: House, name: str) -> None:
    run, blocking = house.start(approval, name), house.start(approval_in_a_thread, name)
    for one in (run, blocking):
        house.wait_status(one, "parked")
    house.advance(3_600_000)
    assert (house.result(run), house.result(blocking)) == ("late", "late")


# -- callbacks


@functions.function(str)
async def review(ctx: Context[str]) -> Decision | None:
    callback = await ctx.callback(Decision, timeout="3d")
    await ctx.step.run("tell", noted, f"url {ctx.data} {callback.url}")
    return await callback


@functions.function(str)
def review_in_a_thread(ctx: SyncContext[str]) -> Decision | None:
    callback = ctx.callback(Decision, timeout="3d")
    ctx.step.run("tell", noted, f"url {ctx.data} {callback.url}")
    return callback.wait()


@pytest.mark.every_store
@pytest.mark.parametrize("function", [review, review_in_a_thread], ids=["async", "thread"])
def test_whoever_has_the_address_answers_once(
    house: House, name: str, function: Function[str, Decision | None]
) -> None:
    run = house.start(function, name)
    url = url_of(house, name)
    house.wait_status(run, "parked")
    assert [post(url, {"approved": True, "by": "ann"}), post(url, {"approved": False})] in ([202, 409], [202, 404])
    assert house.result(run) == Decision(True, "ann")
    assert post(url, {"approved": True}) == 404


def test_looking_at_the_address_answers_nothing_and_a_guess_is_unknown(house: House, name: str) -> None:
    run = house.start(review, name)
    url = url_of(house, name)
    assert (post(url, method="GET"), post(url[:-1] + "~", {}), post(url[:-43] + "A" * 43, {})) == (405, 404, 404)
    assert post(url, {"approved": False}) == 202
    assert house.result(run) == Decision(False)


@pytest.mark.every_store
def test_a_callback_survives_the_end_of_worker_and_engine_with_its_address(house: House, name: str) -> None:
    run = house.start(review, name)
    url = url_of(house, name)
    house.wait_status(run, "parked")
    house.kill_worker()
    house.restart_engine()
    assert post(url, {"approved": True, "by": "bob"}) == 202
    house.start_worker()
    assert house.result(run) == Decision(True, "bob")
    assert house.lines(f"url {name} ") == [url]


def test_a_callback_that_nobody_answers_is_none(house: House, name: str) -> None:
    run = house.start(review, name)
    url = url_of(house, name)
    house.wait_status(run, "parked")
    house.advance(3 * 24 * 3_600_000)
    assert house.result(run) is None
    assert post(url, {"approved": True}) == 404


def test_a_client_answers_a_callback(house: House, name: str) -> None:
    run = house.start(review, name)
    house.client.resolve_callback(url_of(house, name), {"approved": True, "by": "client"})
    assert house.result(run) == Decision(True, "client")


# -- runs that go their own way, and what a run says of itself


@functions.function(str)
async def follow_up(ctx: Context[str]) -> str:
    await ctx.sleep("1h")
    return await ctx.step.run("follow", noted, f"followed {ctx.data}")


@functions.function(str)
async def starts(ctx: Context[str]) -> StartedRun:
    started = await ctx.start(follow_up, ctx.data)
    await ctx.wait_for_signal("end", bool, timeout="2h")
    return started


@pytest.mark.every_store
def test_a_started_run_is_started_once_and_outlives_its_cancelled_starter(house: House, name: str) -> None:
    run = house.start(starts, name)
    house.wait_status(run, "parked")
    house.replace_worker()
    run.cancel()
    assert house.status(run) == "cancelled"
    house.until(lambda: all(one.status() == "parked" for one in house.runs_of(follow_up, name)), "it sleeps")
    house.advance(3_600_000)
    house.wait_noted(f"followed {name}")
    [child] = house.runs_of(follow_up, name)
    assert (house.result(child), house.view(child.id)["parent"]) == (f"followed {name}", run.id)


@functions.function(str)
async def busy(ctx: Context[str]) -> None:
    ctx.tag(name=ctx.data, paid=False)
    await ctx.step.run("pay", noted, f"paid {ctx.data}")
    ctx.tag(paid=True)
    ctx.progress({"done": 1, "of": 2})
    await ctx.wait_for_signal("end", bool)


@pytest.mark.every_store
def test_people_find_a_run_by_its_tags_and_see_how_far_it_is(house: House, name: str) -> None:
    run = house.start(busy, name)
    house.wait_status(run, "parked")
    view = house.view(run.id)
    assert (view["tags"], view["progress"]) == ({"name": name, "paid": "true"}, {"done": 1, "of": 2})
    found = house.ask("GET", f"/v1/runs?tag=name={name}&tag=paid=true")["runs"]
    assert [one["id"] for one in found] == [run.id]
    assert house.ask("GET", f"/v1/runs?tag=name={name}&tag=paid=false")["runs"] == []
    run.signal("end", True)
    house.result(run)
    assert house.view(run.id)["progress"] == {"done": 1, "of": 2}

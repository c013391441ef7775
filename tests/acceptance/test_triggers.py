"""Triggers and expressions: which events start which functions, once each; and what is refused, with which words."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError

import pytest
from onward import App, Concurrency, Context, Event, EventType
from onward.errors import EngineRefused

from tests.acceptance.bodies import noted
from tests.acceptance.house import House

functions = App("triggers")
NAMES = "name", "number"


@dataclass
class Order:
    name: str
    number: int = 0


Placed = EventType("triggers/placed", Order)
Imported = EventType("triggers/imported", Order)
Anything = EventType("triggers/any.*", Order)


# -- by name


@functions.on(Placed)
async def first(ctx: Context[Order]) -> str:
    return f"first {ctx.data.name}"


@functions.on(Placed)
async def second(ctx: Context[Order]) -> str:
    return f"second {ctx.data.name}"


@pytest.mark.every_store
def test_an_event_starts_every_function_that_it_triggers_once(house: House, name: str) -> None:
    runs = house.send(Placed(Order(name)))
    assert sorted(str(house.result(run)) for run in runs) == [f"first {name}", f"second {name}"]


@functions.on(Anything)
async def by_prefix(ctx: Context[Order]) -> str:
    return f"{ctx.event.name} {ctx.data.name}"


@pytest.mark.every_store
def test_a_prefix_starts_for_all_events_that_begin_so(house: House, name: str) -> None:
    events = [Event(f"triggers/any.{end}", {"name": name}) for end in ("", "thing", "thing/else")]
    assert [house.result(run) for run in house.send(*events)] == [f"{event.name} {name}" for event in events]
    assert house.send(Event("triggers/an", {"name": name})) == []


Small = EventType("triggers/small", Order)


@functions.on(Small.when("event.data.number < 10") | Imported.when("event.data.number > 10"))
async def either(ctx: Context[Order]) -> str:
    return ctx.event.name


def test_a_function_with_several_triggers_asks_each_its_own_condition(house: House, name: str) -> None:
    events = [trigger(Order(name, number)) for trigger in (Small, Imported) for number in (5, 15)]
    assert [house.result(run) for run in house.send(*events)] == ["triggers/small", "triggers/imported"]


@functions.function(str)
async def only_invoked(ctx: Context[str]) -> str:
    return ctx.data


def test_a_function_without_a_trigger_is_started_by_no_event_but_by_the_api(house: House, name: str) -> None:
    assert house.send(Event("triggers/only_invoked", name)) == []
    assert house.run(only_invoked, name) == name


def test_an_event_that_nobody_asked_for_is_kept_and_starts_nothing(house: House, name: str) -> None:
    [sent] = house.client.send(Event("triggers/nobody", {"name": name}))
    assert (sent.runs, sent.id != "") == ((), True)


# -- by condition


ForPros = EventType("triggers/conditional", dict[str, Any]).when("event.data.user.plan == 'pro'")


@functions.on(ForPros, when="event.data.n > 1")
async def conditional(ctx: Context[dict[str, Any]]) -> str:
    return "started"


@pytest.mark.every_store
@pytest.mark.parametrize(
    ("data", "starts"),
    [
        ({"user": {"plan": "pro"}, "n": 2}, True),
        ({"user": {"plan": "pro"}, "n": 1}, False),
        ({"user": {"plan": "free"}, "n": 2}, False),
        ({"user": {}, "n": 2}, False),  # what is missing is null
        ({"user": None, "n": 2}, False),
        ({}, False),
        ([], False),
    ],
)
def test_a_condition_decides_and_what_is_missing_is_no_error(house: House, data: Any, *, starts: bool) -> None:
    assert len(house.send(Event("triggers/conditional", data))) == starts


Divided = EventType("triggers/divided", Order)


@functions.on(Divided, when="100 / event.data.number > 1")
async def dividing(ctx: Context[Order]) -> str:
    return "divided"


@functions.on(Divided)
async def beside(ctx: Context[Order]) -> str:
    return "beside"


def test_a_condition_that_fails_on_an_event_starts_nothing_and_harms_nobody_else(house: House, name: str) -> None:
    assert [house.result(run) for run in house.send(Divided(Order(name, 0)))] == ["beside"]
    assert len(house.send(Divided(Order(name, 5)))) == 2
    assert "triggers/dividing" in house.log("engine")


# -- what an event brings along


@functions.on(EventType("triggers/detailed", Order))
async def detailed(ctx: Context[Order]) -> list[Any]:
    event = ctx.event
    return [event.name, event.id, event.ts.isoformat(), event.key, dict(event.meta), event.data.number]


def test_id_time_key_and_meta_of_an_event_reach_the_function(house: House, name: str) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    event = EventType("triggers/detailed", Order)(Order(name, 7), id=name, ts=when, key="k", meta={"source": "web"})
    [run] = house.send(event)
    expected = ["triggers/detailed", name, when.isoformat(), "k", {"source": "web"}, 7]
    assert house.result(run) == expected


@functions.on(EventType("triggers/ordered", Order), concurrency=Concurrency(1, key="event.data.name"))
async def ordered(ctx: Context[Order]) -> None:
    await ctx.step.run("note", noted, f"ordered {ctx.data.name} {ctx.data.number}")


@pytest.mark.every_store
def test_runs_of_one_key_start_in_the_order_in_which_their_events_were_sent(house: House, name: str) -> None:
    runs = house.send(*(Event("triggers/ordered", {"name": name, "number": number}) for number in range(30)))
    for run in runs:
        house.result(run)
    assert house.lines(f"ordered {name} ") == [str(number) for number in range(30)]


# -- once


@pytest.mark.every_store
def test_an_event_with_the_same_id_starts_nothing_new_and_gets_the_same_answer(house: House, name: str) -> None:
    event = Placed(Order(name), id=name)
    [one], [two] = house.client.send(event), house.client.send(event)
    assert (one.id, [run.id for run in one.runs]) == (two.id, [run.id for run in two.runs])


def test_the_same_id_for_another_event_is_refused(house: House, name: str) -> None:
    house.client.send(Placed(Order(name), id=name))
    with pytest.raises(EngineRefused, match=f"The event id {name} was used before for a different event"):
        house.client.send(Placed(Order("another"), id=name))


def test_an_id_that_stands_twice_in_one_request_counts_once(house: House, name: str) -> None:
    event = Placed(Order(name), id=name)
    one, two = house.client.send(event, event)
    assert {run.id for run in one.runs} == {run.id for run in two.runs}
    assert len({run.id for run in one.runs}) == 2


def test_a_start_with_the_same_key_gives_the_first_run(house: House, name: str) -> None:
    one, two = (house.start(only_invoked, name, key=name) for _ in range(2))
    assert one.id == two.id


def test_an_acknowledged_event_survives_a_kill_of_the_engine_right_behind_its_answer(house: House, name: str) -> None:
    with house.no_worker():
        runs = house.send(Placed(Order(name)))
        house.restart_engine()
    assert sorted(str(house.result(run)) for run in runs) == [f"first {name}", f"second {name}"]


# -- all or nothing


def test_one_wrong_event_among_many_keeps_all_of_them_out(house: House, name: str) -> None:
    good = [Placed(Order(name, number), id=f"{name} {number}") for number in range(100)]
    with pytest.raises(EngineRefused, match="name"):
        house.client.send(*good, Event("", {}))
    with pytest.raises(HTTPError, match="404"):
        house.runs_by(f"{name} 0")
    assert len(house.send(*good[:2])) == 4


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "Input data was truncated"),
        (b'{"data": 1}', 400, "name"),
        (b'{"name": "a", "data": NaN}', 400, "JSON"),
        (b'{"name": "\\u0000", "data": 1}', 400, "printed"),
        (b'{"name": "a", "ts": "soon"}', 400, "ts"),
    ],
)
def test_a_request_that_is_no_event_is_told_what_is_wrong(house: House, body: bytes, status: int, said: str) -> None:
    with pytest.raises(HTTPError) as refused:
        house.ask("POST", "/e", body)
    problem = json.load(refused.value)
    assert (refused.value.code, said in problem["detail"]) == (status, True)


# -- later


Later = EventType("triggers/later", Order)


@functions.on(Later)
async def later(ctx: Context[Order]) -> str:
    return ctx.data.name


@pytest.mark.every_store
def test_a_delayed_event_starts_its_run_when_its_time_has_come_over_a_kill(house: House, name: str) -> None:
    [sent] = house.client.send(Later(Order(name), delay="2h", id=name))
    house.restart_engine()
    house.advance(7_100_000)
    assert (sent.runs, house.client.list_runs(function=later, limit=1).runs) == ((), ())
    house.advance(200_000)
    [run] = house.runs_by(name)
    assert house.result(run) == name


def test_an_event_for_a_moment_that_is_past_comes_in_at_once(house: House, name: str) -> None:
    [run] = house.send(Later(Order(name), at=datetime.now(UTC) - timedelta(days=1)))
    assert house.result(run) == name


# -- what is refused when a worker registers

BROKEN = os.environ.get("BROKEN_OPTION_OF_TEST", "")
if BROKEN == "when":
    functions.on(Placed, id="broken", when="event.data.number >")(first.fn)
elif BROKEN == "unknown":
    functions.on(Placed, id="broken", when="evnt.data.number > 1")(first.fn)
elif BROKEN == "type":
    functions.on(Placed, id="broken", when="event.data.number + 'a' == lower(1)")(first.fn)
elif BROKEN == "key":
    functions.on(Placed, id="broken", concurrency=Concurrency(1, key="event..x"))(first.fn)


@pytest.mark.parametrize(
    ("option", "said"), [("when", "'when'"), ("unknown", "evnt"), ("type", "lower"), ("key", "concurrency")]
)
def test_a_wrong_option_is_refused_when_its_worker_registers_by_function_and_option(
    house: House, option: str, said: str
) -> None:
    house.environment["BROKEN_OPTION_OF_TEST"] = option
    try:
        words = house.worker_refused(house.app)
    finally:
        house.environment["BROKEN_OPTION_OF_TEST"] = ""
    assert "triggers/broken" in words
    assert said in words
    assert "Traceback" not in words


def test_a_start_of_a_function_that_nobody_offers_is_refused_by_name(house: House) -> None:
    with pytest.raises(EngineRefused, match="There is no function 'triggers/nothing'"):
        house.client.start("triggers/nothing", {})

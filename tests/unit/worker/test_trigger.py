"""What starts a function: events, prefixes, several of them, and the clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from onward import App, ConfigError, Context, Cron, EventType, Tick
from onward.events import draft_of, settled
from onward.trigger import TICK, type_for
from onward_protocol.messages import Schedule, Trigger


@dataclass
class Order:
    id: str


@dataclass
class Import:
    path: str


Placed = EventType("shop/order.placed", Order)
Imported = EventType("shop/imported", Import)
Anything = EventType("shop/*", dict[str, Any])


async def work(ctx: Context[Any]) -> None: ...


def registered(trigger: Any, **options: Any) -> Any:
    return App("shop").on(trigger, **options)(work)


def test_several_events_start_one_function_each_under_its_own_condition() -> None:
    function = registered(Placed.when("event.data.id != ''") | Imported, when="event.key == 'eu'")
    assert function.manifest().triggers == (
        Trigger("shop/order.placed", "(event.data.id != '') && (event.key == 'eu')"),
        Trigger("shop/imported", "event.key == 'eu'"),
    )


def test_data_of_several_types_need_not_be_told_apart_by_itself() -> None:
    app = App("shop")
    app.on(Placed | Imported)(work)
    app.check()


def test_each_type_of_data_is_checked() -> None:
    app = App("shop")
    app.on(Placed | EventType("shop/odd", object()))(work)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigError, match="data of event 'shop/odd' in function 'shop/work'"):
        app.check()


def test_an_input_that_could_be_either_is_refused_before_it_is_sent() -> None:
    function = registered(Placed | Imported)
    with pytest.raises(ConfigError, match="input of function 'shop/work' cannot be kept"):
        asyncio.run(function.start(Order("o1")))


def test_the_name_of_an_event_says_which_type_its_data_has() -> None:
    types = registered(Placed | Anything | EventType("shop/x/*", Import)).options.types
    assert type_for(types, "shop/order.placed") is Order
    assert type_for(types, "shop/x/y") is Import
    assert type_for(types, "shop/else") == dict[str, Any]
    assert type_for(types, "mail/sent") is None


def test_a_prefix_starts_functions_and_nothing_else() -> None:
    assert registered(Anything).manifest().triggers == (Trigger("shop/*"),)
    with pytest.raises(ConfigError, match=r"'shop/\*' is a prefix and names no event"):
        Anything({})


@pytest.mark.parametrize("name", ["*/order", "shop/*/order", "**x"])
def test_a_star_stands_at_the_end(name: str) -> None:
    with pytest.raises(ConfigError, match=r"a '\*' stands elsewhere than at the end"):
        EventType(name, dict)


def test_a_schedule_is_registered_with_all_that_it_says() -> None:
    app = App("shop")
    function = app.cron("TZ=Europe/Berlin  0 3 * * 1-5", jitter="5m", overlap="skip", catch_up="all", id="nightly")(
        work
    )
    schedule = Schedule("0 3 * * 1-5", "Europe/Berlin", 300_000, "skip", "all")
    assert function.manifest().schedules == (schedule,)
    assert (function.id, function.manifest().triggers) == ("shop/nightly", ())


def test_a_function_may_have_schedules_and_events() -> None:
    function = registered(Cron("@daily") | Cron("0 12 * * SUN", tz="America/New_York") | Placed)
    assert [one.expression for one in function.manifest().schedules] == ["@daily", "0 12 * * SUN"]
    assert type_for(function.options.types, TICK) is Tick


@pytest.mark.parametrize(
    ("expression", "options", "named"),
    [
        ("* * * *", {}, "option 'expression': it has 4 fields"),
        ("* * * * * *", {}, "option 'expression': it has 6 fields"),
        ("", {}, "option 'expression': it has 0 fields"),
        ("@reboot", {}, "option 'expression': there is no @reboot"),
        ("0 3 ? * *", {}, "option 'expression': '?' is no day of month"),
        ("TZ= 0 3 * * *", {}, "option 'tz': nothing follows 'TZ='"),
        ("TZ=UTC @daily", {"tz": "UTC"}, "option 'tz': the expression names a time zone as well"),
        ("@daily", {"tz": "not a zone"}, "option 'tz': 'not a zone' is not the name"),
        ("@daily", {"overlap": "queue"}, "option 'overlap': 'queue' is none of allow, skip, cancel"),
        ("@daily", {"catch_up": True}, "option 'catch_up': True is none of none, last, all"),
        ("@daily", {"jitter": "2d"}, "option 'jitter': '2d' is more than a day"),
        ("@daily", {"jitter": "soon"}, "option 'jitter': 'soon' is not a duration"),
    ],
)
def test_a_wrong_schedule_is_found_where_it_is_written(expression: str, options: Any, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        App("shop").cron(expression, **options)
    assert f"Cron({expression!r}), {named}" in str(caught.value)


def test_a_condition_needs_an_event() -> None:
    with pytest.raises(ConfigError, match="a schedule has no event for option 'when'"):
        registered(Cron("@daily"), when="event.data.id == '1'")


def test_a_tick_is_read_with_the_offset_of_its_zone() -> None:
    tick = msgspec.json.decode(b'{"at":"2026-03-29T03:00:00+02:00","previous":null}', type=Tick)
    assert (tick.at.utcoffset(), tick.previous) == (timedelta(hours=2), None)


def test_a_delayed_event_says_when_it_comes_in() -> None:
    when = datetime(2030, 1, 1, tzinfo=UTC)
    assert draft_of(Placed(Order("o1"), at=when)).due_at_ms == when.timestamp() * 1000
    assert draft_of(settled(Placed(Order("o1"), delay="90s"), 1_000)).due_at_ms == 91_000
    assert draft_of(settled(Placed(Order("o1")), 1_000)).due_at_ms == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"delay": "367d"}, "is more than 366 days"),
        ({"delay": -1}, "is negative"),
        ({"at": datetime(2030, 1, 1)}, "has no offset"),  # noqa: DTZ001 - on purpose
        ({"at": datetime(2030, 1, 1, tzinfo=UTC), "delay": 1}, "has both options 'at' and 'delay'"),
    ],
)
def test_a_wrong_delay_is_refused(options: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Placed(Order("o1"), **options)

"""Why a run is where it is, from values alone; and that no time is told that nobody can know."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from onward_engine.model import Flow, Run, Status
from onward_engine.rules.flow import reasons
from onward_engine.rules.flow.facts import Awaited, Holders, Queued, State
from onward_engine.rules.flow.gathering import Gathered
from onward_engine.rules.flow.known import Crew, Known
from onward_engine.rules.flow.reasons import Why
from onward_engine.rules.triggers import Catalog
from onward_protocol.messages import AppManifest, ConcurrencyLimit, FunctionManifest, ThrottleRule

NOW = 1_000_000
ONE = FunctionManifest("shop/f", concurrency=(ConcurrencyLimit(2),))
KEY = "concurrency shop/f"
PLACE = Flow(KEY, "concurrency:0", 2)
RUN = Run(id="run_1", function="shop/f", ord=7)
SLOTS = Crew(workers=2, free=3)
BUSY = Crew(workers=2)


def known(
    run: Run = RUN, queued: Queued | None = None, *, function: FunctionManifest | None = ONE, **more: Any
) -> Known:
    paused, limits = more.pop("paused", ()), more.pop("limits", {})
    functions = (function,) if function else ()
    catalog = Catalog((AppManifest("shop", functions=functions),), paused, limits)
    return Known(NOW, run, catalog, more.pop("crew", SLOTS), queued, **more)


def why(*args: Any, **more: Any) -> Why:
    return reasons.why(known(*args, **more))


def ready(rank: int = 1, ahead: int = 0) -> Queued:
    return Queued("ready", rank, NOW, ahead=ahead)


def in_line(flow: Flow = PLACE, ahead: int = 0) -> tuple[Run, Queued]:
    return replace(RUN, flow=(flow,)), Queued("limited", 1, 0, flow.key, ahead)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.SKIPPED])
def test_what_is_over_waits_for_nothing(status: Status) -> None:
    assert why(replace(RUN, status=status)) == Why("over")


def test_a_run_that_a_worker_has_waits_for_nothing() -> None:
    assert why(replace(RUN, status=Status.ASSIGNED)) == Why("assigned")


def test_a_run_that_has_just_left_the_queue_is_the_next() -> None:
    assert why(RUN, None) == Why("next")


# -- limits


def test_a_full_limit_is_told_with_its_holders_and_the_position() -> None:
    told = why(*in_line(ahead=4), holders=Holders(2, 0, ("run_a", "run_b")))
    assert (told.code, told.position, told.eta_ms) == ("concurrency", 5, None)
    assert told.waits_for == "a place of its limit concurrency:0: 2 of 2 are taken"
    assert told.blocking is not None
    assert (told.blocking.limit, told.blocking.declared, told.blocking.holders) == (2, 2, ("run_a", "run_b"))


def test_places_that_are_kept_for_runs_before_it_are_told() -> None:
    told = why(*in_line(ahead=1), holders=Holders(1, 1, ("run_a",)))
    assert told.waits_for.endswith("1 of 2 are taken, 1 kept for runs before it")


def test_a_limit_that_is_gone_has_no_numbers() -> None:
    told = why(*in_line(), function=replace(ONE, concurrency=()))
    assert told.waits_for == "a place of its limit concurrency:0"


def test_a_limit_that_was_set_is_told_beside_that_of_the_code() -> None:
    told = why(*in_line(), limits={("shop/f", "concurrency:0"): 1}).blocking
    assert told is not None
    assert (told.limit, told.declared) == (1, 2)


def test_a_limit_of_a_function_that_nobody_offers_is_that_of_the_run() -> None:
    told = why(*in_line(), function=None).blocking
    assert told is not None
    assert (told.limit, told.declared) == (2, 2)


def test_a_measured_rate_gives_a_time_by_the_position() -> None:
    assert why(*in_line(ahead=4), freed_per_ms=1 / 1_000).eta_ms == 5_000


@pytest.mark.parametrize(
    ("flow", "more"),
    [
        (PLACE, {"freed_per_ms": None}),
        (PLACE, {"freed_per_ms": 0.0}),
        (PLACE, {"freed_per_ms": 1.0, "crew": Crew()}),
        (PLACE, {"freed_per_ms": 1.0, "paused": ("shop/f",)}),
        (Flow("concurrency shop/", "concurrency:0", 2, is_shared=True), {"freed_per_ms": 1.0}),
    ],
    ids=["not measured", "none came back", "no worker", "paused", "others may get it"],
)
def test_no_time_is_told_for_a_place_that_may_never_come(flow: Flow, more: dict[str, Any]) -> None:
    assert why(*in_line(flow), **more).eta_ms is None


def test_a_key_is_taken_apart_for_people() -> None:
    source = "event.data.a == 1 ? 'x=y' : event.data.b"
    function = replace(ONE, concurrency=(ConcurrencyLimit(2, source),))
    told = why(*in_line(Flow(f'{KEY} {source}="b=c"', "concurrency:0", 2)), function=function)
    assert told.blocking is not None
    assert (told.blocking.scope, told.blocking.expression, told.blocking.value) == ("function", source, "b=c")
    assert told.waits_for.startswith("a place of its limit concurrency:0 for 'b=c'")


@pytest.mark.parametrize(("owner", "scope"), [("shop/f", "function"), ("shop/", "app"), ("*", "environment")])
def test_the_scope_of_a_limit_is_told(owner: str, scope: str) -> None:
    told = why(*in_line(Flow(f"concurrency {owner}", "concurrency:0", 2))).blocking
    assert told is not None
    assert told.scope == scope


def test_a_singleton_is_told_as_such() -> None:
    assert why(*in_line(Flow("singleton shop/f", "singleton", 1, is_whole=True))).code == "singleton"


# -- throttles

SLOW = FunctionManifest("shop/f", throttle=ThrottleRule(1, 10_000))
TURN = Flow("throttle shop/f", "throttle", 1)


@pytest.mark.parametrize(("ahead", "offered", "after_ms"), [(0, 0, 10_000), (1, 0, 20_000), (1, 1, 30_000)])
def test_a_throttled_run_begins_after_those_before_it(ahead: int, offered: int, after_ms: int) -> None:
    more = {"arrival_us": (NOW + 10_000) * 1_000, "holders": Holders(0, offered)}
    told = why(*in_line(TURN, ahead), function=SLOW, **more)
    assert (told.code, told.eta_ms) == ("throttle", after_ms)
    assert told.until_at_ms == NOW + 10_000 * (offered + 1)


def test_a_throttle_that_was_set_gives_other_times() -> None:
    more = {"arrival_us": NOW * 1_000, "limits": {("shop/f", "throttle"): 10}}
    assert why(*in_line(TURN, 3), function=SLOW, **more).eta_ms == 3_000


@pytest.mark.parametrize("more", [{"crew": BUSY}, {"paused": ("shop/f",)}], ids=["no free slot", "paused"])
def test_no_time_is_told_for_a_turn_that_a_slot_or_a_person_decides(more: dict[str, Any]) -> None:
    assert why(*in_line(TURN), function=SLOW, **more).eta_ms is None


def test_a_throttle_that_is_gone_from_the_code_has_no_times() -> None:
    told = why(*in_line(TURN), function=ONE)
    assert (told.code, told.until_at_ms, told.eta_ms) == ("throttle", None, None)


# -- events, pauses, timers


def test_gathering_tells_how_many_events_there_are_and_when_it_ends() -> None:
    queued = Queued("gathering", 1, flow_key="debounce shop/f")
    told = why(RUN, queued, gathered=Gathered("run_1", 0, "evt_1", 0, count=3), due_at_ms=NOW + 50)
    assert told == Why("gathering", "more events: it has 3", until_at_ms=NOW + 50, eta_ms=50)


@pytest.mark.parametrize("state", ["held", "ready"])
def test_a_pause_names_what_is_to_be_resumed(state: State) -> None:
    told = why(RUN, Queued(state, 1), paused=("shop/f",))
    assert told.code == ("run_paused" if state == "held" else "function_paused")
    assert told.eta_ms is None


def test_a_paused_function_keeps_only_what_has_not_begun() -> None:
    assert why(RUN, ready(rank=0), paused=("shop/f",)).code == "next"
    assert why(RUN, ready(rank=-1), paused=("shop/f",)).code == "function_paused"


def test_an_orphan_waits_for_its_worker_and_after_strikes_for_the_end_of_its_pause() -> None:
    orphan = replace(RUN, status=Status.ORPHANED, holder="wrk_a", generation=1)
    later = Queued("later", 0, NOW + 500)
    told = why(orphan, later)
    assert (told.code, told.until_at_ms, told.eta_ms) == ("holder", NOW + 500, 500)
    assert "wrk_a" in told.waits_for
    struck = why(replace(orphan, strikes=3), later)
    assert (struck.code, "4 workers were lost" in struck.waits_for) == ("strikes", True)


def test_a_woken_run_asks_its_own_worker_first() -> None:
    told = why(replace(RUN, status=Status.READY, holder="wrk_a"), Queued("later", 0, NOW + 500), crew=BUSY)
    assert (told.code, told.until_at_ms, told.eta_ms) == ("affinity", NOW + 500, None)


@pytest.mark.parametrize("state", ["gathering", "later"])
def test_no_time_is_told_for_a_run_that_is_paused_besides(state: State) -> None:
    run = replace(RUN, status=Status.ORPHANED, is_paused=True)
    assert why(run, Queued(state, 0, NOW + 50), due_at_ms=NOW + 50).eta_ms is None


# -- parked

PARKED = replace(RUN, status=Status.PARKED)
NAP = Awaited("nap", "sleep", "", NOW + 40)
PAID = Awaited("paid", "event", "order/paid", NOW + 30)


@pytest.mark.parametrize(
    ("awaited", "until_at_ms", "eta_ms"),
    [
        ((NAP,), NOW + 40, 40),
        ((NAP, replace(NAP, due_at_ms=NOW + 9)), NOW + 9, 9),
        ((NAP, PAID), NOW + 30, None),
        ((Awaited("s", "signal", "go"),), None, None),
        ((), None, None),
    ],
)
def test_only_sleeps_end_at_a_time_that_is_known(
    awaited: tuple[Awaited, ...], until_at_ms: int | None, eta_ms: int | None
) -> None:
    told = why(PARKED, awaited=awaited)
    assert (told.code, told.until_at_ms, told.eta_ms, told.awaited) == ("parked", until_at_ms, eta_ms, awaited)


def test_a_paused_run_that_sleeps_does_not_go_on_when_its_sleep_is_over() -> None:
    told = why(replace(PARKED, is_paused=True), awaited=(NAP,))
    assert (told.waits_for, told.eta_ms) == ("somebody to resume it", None)


# -- workers


def test_a_run_nobody_has_a_slot_for_waits_for_one_at_its_position() -> None:
    told = why(RUN, ready(ahead=9), crew=BUSY)
    assert (told.code, told.position, told.eta_ms) == ("slots", 10, None)


def test_a_missing_worker_is_told_apart_by_what_there_is() -> None:
    gpu = replace(ONE, labels={"gpu": "a100", "disk": "big"})
    told = [
        why(RUN, ready(), crew=Crew(), function=None),
        why(RUN, ready(), crew=Crew()),
        why(RUN, ready(), crew=Crew(unlabelled=1), function=gpu),
    ]
    assert [one.code for one in told] == ["unregistered", "no_worker", "labels"]
    assert told[2].waits_for == "a worker that has the function shop/f and the labels disk=big, gpu=a100"


def test_a_run_is_left_for_a_while_to_workers_of_its_version() -> None:
    run = replace(RUN, version="v1")
    crew = Crew(workers=2, free=3, same_version=1)
    told = why(run, ready(rank=0), crew=crew)
    assert (told.code, told.eta_ms) == ("version", known().times.version_ms)
    assert why(run, Queued("ready", 0, NOW - known().times.version_ms), crew=crew).code == "next"
    assert why(run, ready(rank=0), crew=replace(crew, same_version_free=1)).code == "next"
    assert why(run, ready(), crew=crew).code == "next", "one that has not begun is left to nobody"

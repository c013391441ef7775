"""Why a run is where it is: what it waits for, who has that, and when it goes on, as far as that can be known.

A time is only given for what has one: timers, throttles, gathered events, and places of a limit that were given back
often enough to tell how often. Nothing is guessed.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ...model import Flow, Status
from .. import losses
from . import names, throttle
from .facts import Awaited, Queued
from .known import Known
from .limits import declared_limit, limit_now
from .ranks import AGAIN

Code = Literal[
    "over", "assigned", "parked", "run_paused", "function_paused", "gathering", "concurrency", "singleton", "throttle",
    "holder", "strikes", "affinity", "unregistered", "no_worker", "labels", "version", "slots", "next",
]  # fmt: skip


class Blocking(Struct, frozen=True):
    """The limit that has no room. `limit` is the one in force, `declared` what the code says. `expression` tells the
    values of its key apart, and this is about runs with the same `value`; both are empty if there is one for all.
    `taken` places are held by `holders`, of which these are the first; `offered` ones are kept for runs that nobody has
    claimed yet. Of a throttle there are no places.
    """

    option: str
    scope: str
    expression: str
    value: str
    limit: int | None
    declared: int | None
    taken: int
    offered: int
    holders: tuple[str, ...]


class Why(Struct, frozen=True):
    """Why a run is where it is. `waits_for` is a few words, empty if nothing keeps it. `position` is 1 for the next of
    its function. `until_at_ms` is the next moment at which something changes by itself, `eta_ms` in how long it goes
    on; None: nobody can know.
    """

    code: Code
    waits_for: str = ""
    blocking: Blocking | None = None
    position: int | None = None
    until_at_ms: int | None = None
    eta_ms: int | None = None
    awaited: tuple[Awaited, ...] = ()


def why(known: Known) -> Why:
    """Say why a run is where it is."""
    run = known.run
    if run.status.is_terminal:
        return Why("over")
    if run.status is Status.ASSIGNED:
        return Why("assigned")
    if run.status is Status.PARKED:
        return _parked(known)
    return Why("next") if known.queued is None else _in_queue(known, known.queued)


def _parked(known: Known) -> Why:
    due = min((one.due_at_ms for one in known.awaited if one.due_at_ms is not None), default=None)
    is_timed = due is not None and all(one.kind == "sleep" for one in known.awaited)
    held = "somebody to resume it" if known.run.is_held else ""
    eta_ms = max(0, due - known.now_ms) if due is not None and is_timed and not held and known.crew.free else None
    return Why("parked", held, until_at_ms=due, eta_ms=eta_ms, awaited=known.awaited)


def _in_queue(known: Known, queued: Queued) -> Why:
    match queued.state:
        case "held":
            return Why("run_paused", "somebody to resume it")
        case "gathering":
            return _gathering(known)
        case "limited":
            return _limited(known, queued)
        case "later":
            return _later(known, queued)
        case "ready":
            return replace(_ready(known, queued), position=queued.ahead + 1)


def _gathering(known: Known) -> Why:
    rest_ms = None if known.due_at_ms is None else max(0, known.due_at_ms - known.now_ms)
    count = known.gathered.count if known.gathered else 1
    words = f"more events: it has {count}" if count > 1 else "more events: it has one"
    return Why("gathering", words, until_at_ms=known.due_at_ms, eta_ms=rest_ms if _may_begin(known) else None)


# -- limits -----------------------------------------------------------------------------------------------------------


def _limited(known: Known, queued: Queued) -> Why:
    flow = next((flow for flow in known.run.flow if flow.key == queued.flow_key), Flow(queued.flow_key, "", 0))
    blocking = _blocking(known, flow)
    position = queued.ahead + 1
    if flow.is_throttle:
        return _throttled(known, flow, blocking, position)
    code: Code = "singleton" if flow.option == "singleton" else "concurrency"
    words = f"a place of its limit {flow.option}{_of(blocking)}{_use(blocking)}"
    return Why(code, words, blocking, position, eta_ms=_eta_of_place(known, flow, position))


def _throttled(known: Known, flow: Flow, blocking: Blocking, position: int) -> Why:
    words = f"its turn by its throttle{_of(blocking)}"
    rule = known.function.throttle if known.function else None
    if rule is None or not blocking.limit:
        return Why("throttle", words, blocking, position)
    first = known.holders.offered + 1
    next_at_ms = max(known.now_ms, throttle.begins_at_ms(rule, blocking.limit, known.arrival_us, first))
    begins_at_ms = throttle.begins_at_ms(rule, blocking.limit, known.arrival_us, first + position - 1)
    eta_ms = max(0, begins_at_ms - known.now_ms) if _may_begin(known) else None
    return Why("throttle", words, blocking, position, next_at_ms, eta_ms)


def _blocking(known: Known, flow: Flow) -> Blocking:
    function = known.function
    named = names.name_of(flow.key, names.expression_of(function, flow.option))
    return Blocking(
        option=flow.option,
        scope=named.scope,
        expression=named.expression,
        value=named.value,
        limit=limit_now(known.catalog, known.run.function, flow),
        declared=flow.limit if function is None else declared_limit(function, flow.option),
        taken=known.holders.taken,
        offered=known.holders.offered,
        holders=known.holders.runs,
    )


def _eta_of_place(known: Known, flow: Flow, position: int) -> int | None:
    """Only where places were given back lately, and no other function may be given them."""
    if not known.freed_per_ms or flow.is_shared or not known.crew.workers or _is_function_paused(known):
        return None
    return round(position / known.freed_per_ms)


def _of(blocking: Blocking) -> str:
    return f" for {blocking.value!r}" if blocking.expression else ""


def _use(blocking: Blocking) -> str:
    if blocking.limit is None:
        return ""
    kept = f", {blocking.offered} kept for runs before it" if blocking.offered else ""
    return f": {blocking.taken} of {blocking.limit} are taken{kept}"


# -- time and workers -------------------------------------------------------------------------------------------------


def _later(known: Known, queued: Queued) -> Why:
    run, due_at_ms = known.run, queued.due_at_ms
    eta_ms = max(0, due_at_ms - known.now_ms) if known.crew.free and not run.is_held else None
    if run.status is Status.ORPHANED and losses.is_suspect(run):
        strikes = run.strikes + losses.is_strike(run)
        words = f"the end of its pause: {strikes} workers were lost under it, one after the other"
        return Why("strikes", words, until_at_ms=due_at_ms, eta_ms=eta_ms)
    if run.status is Status.ORPHANED:
        return Why("holder", f"its worker {run.holder} to come back", until_at_ms=due_at_ms, eta_ms=eta_ms)
    return Why("affinity", f"a free slot of its worker {run.holder}", until_at_ms=due_at_ms, eta_ms=eta_ms)


def _ready(known: Known, queued: Queued) -> Why:
    run, crew = known.run, known.crew
    if queued.rank != AGAIN and run.function in known.catalog.paused:
        return Why("function_paused", f"somebody to resume the function {run.function}")
    if not crew.workers:
        return _without_worker(known)
    left_until_ms = queued.due_at_ms + known.times.version_ms
    is_left = queued.rank == AGAIN and crew.same_version and not crew.same_version_free
    if is_left and crew.free and known.now_ms < left_until_ms:
        words = f"a free slot of a worker with the version {run.version}, on which it began"
        return Why("version", words, until_at_ms=left_until_ms, eta_ms=left_until_ms - known.now_ms)
    return Why("next") if crew.free else Why("slots", "a free slot")


def _without_worker(known: Known) -> Why:
    name, function = known.run.function, known.function
    if function is None:
        return Why("unregistered", f"a worker that has the function {name}: none has registered it")
    labels = ", ".join(f"{key}={value}" for key, value in sorted(function.labels.items()))
    words = f"a worker that has the function {name}" + (f" and the labels {labels}" if labels else "")
    return Why("labels" if known.crew.unlabelled else "no_worker", words)


def _may_begin(known: Known) -> bool:
    return known.crew.free > 0 and not known.run.is_held and not _is_function_paused(known)


def _is_function_paused(known: Known) -> bool:
    is_new = known.queued is None or known.queued.rank != AGAIN
    return is_new and known.run.function in known.catalog.paused

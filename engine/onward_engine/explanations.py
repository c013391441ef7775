"""Why a run is where it is, as people and programs get it. The fields are a promise to whoever reads them."""

from __future__ import annotations

from msgspec import Struct

from .model import Run, Status
from .rules.flow.facts import AwaitedKind
from .rules.flow.reasons import Blocking, Code, Why


class BlockingView(Struct, frozen=True, kw_only=True):
    """The limit that has no room. `limit` is the one in force, `declared` what the code says; null: the code has it no
    more. `expression` tells the values of its key apart, and `value` is the one that this is about; both are empty if
    there is one for all. `taken` places are held by `holders`, of which these are the first; `offered` ones are kept
    for runs that nobody has claimed yet.
    """

    option: str
    scope: str
    expression: str
    value: str
    limit: int | None
    declared: int | None
    taken: int
    offered: int
    holders: list[str]


class AwaitedView(Struct, frozen=True):
    """What a parked run waits for: `about` an event, a signal, a function or a child run. `due_at_ms` is when time ends
    it; null: never.
    """

    key: str
    kind: AwaitedKind
    about: str
    due_at_ms: int | None


class WhyView(Struct, frozen=True, kw_only=True):
    """Why a run is where it is. `waits_for` says it in a few words; null: nothing keeps it. `position` is its place
    among the runs of its function that wait for the same; 1 is the next, and 10,001 is as far as is counted.
    `until_at_ms` is the next moment at which something changes by itself. `eta_ms` is in how long it goes on; null:
    nobody can know. `worker` has it, or had it last. `strikes` are workers that were lost under it, one after the
    other. `cancel_reason` is also why it was skipped, `error` what it failed with.
    """

    run: str
    function: str
    status: Status
    code: Code
    waits_for: str | None
    blocking: BlockingView | None
    position: int | None
    until_at_ms: int | None
    eta_ms: int | None
    awaited: list[AwaitedView]
    worker: str | None
    version: str | None
    strikes: int
    paused: bool
    cancel_reason: str | None
    error: str | None


def why_view(run: Run, why: Why) -> WhyView:
    """Return why a run is where it is."""
    return WhyView(
        run=run.id,
        function=run.function,
        status=run.status,
        code=why.code,
        waits_for=why.waits_for or None,
        blocking=_blocking(why.blocking) if why.blocking else None,
        position=why.position,
        until_at_ms=why.until_at_ms,
        eta_ms=why.eta_ms,
        awaited=[AwaitedView(one.key, one.kind, one.about, one.due_at_ms) for one in why.awaited],
        worker=run.holder or None,
        version=run.version or None,
        strikes=run.strikes,
        paused=run.is_paused,
        cancel_reason=run.cancel_reason,
        error=f"{run.failure.type}: {run.failure.message}" if run.failure else None,
    )


def _blocking(one: Blocking) -> BlockingView:
    return BlockingView(
        option=one.option,
        scope=one.scope,
        expression=one.expression,
        value=one.value,
        limit=one.limit,
        declared=one.declared,
        taken=one.taken,
        offered=one.offered,
        holders=list(one.holders),
    )

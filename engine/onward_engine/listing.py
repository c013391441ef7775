"""Runs that somebody looks for: what an index cannot answer is looked at run by run, a bounded part of the list at a
time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Final

import msgspec
from msgspec import Struct, structs
from onward_protocol.ids import derived_id
from onward_protocol.messages import Event

from .catalogue import Catalogue
from .model import Run
from .rules.conditions import OWN, Subject
from .rules.expressions import Expression, ExpressionError, condition
from .rules.flow.names import has_value
from .store.port import RunFilter, Store
from .views import RunView, run_view

_VARIABLES: Final = ("run", OWN)
"""What a filter may speak of: the run as the API shows it, and the event that started it."""

_SHAPES: Final = (("run", RunView.__struct_fields__),)

LOOKED_MAX = 1_000
"""So many runs are looked at for one answer at most."""

LOOKED_BYTES_MAX = 8 * 1024 * 1024
"""So much of what they carry is decoded for it."""

LOOKED_SECONDS = 0.5
"""So long may it take, beside what the store takes."""

_CHUNK = 100
_ON_FAILURE_KEY = "!on_failure"
_PAYLOADS = frozenset({"input", "output"})


class Selection(Struct, frozen=True):
    """Which runs: what the store finds, of these those of an event (its id, its name, or the beginning of a name and a
    star), with this key of an event or of a concurrency limit, for which `where` holds.
    """

    filter: RunFilter = RunFilter()
    event: str = ""
    key: str = ""
    where: str = ""


class Found(Struct, frozen=True):
    """A part of the runs, newest first. `next` is the `before` to go on from; None when these were the last.

    `unclear` counts the runs for which `where` could not be evaluated; they are not among the runs.
    """

    runs: tuple[Run, ...] = ()
    next: int | None = None
    unclear: int = 0


class Listing:
    """Finds runs."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    async def find(self, wanted: Selection) -> Found:
        """Return a page of runs: fewer than `filter.limit`, or none, if too many others would have to be looked at.
        Raises `ExpressionError`.
        """
        where = condition(wanted.where, _VARIABLES, _SHAPES) if wanted.where else None
        event = await self._store.event(wanted.event) if wanted.event else None
        if event is not None:
            joined = await self._store.joined(event.id)
            wanted = structs.replace(wanted, event="", filter=self._of_event(wanted.filter, event, joined))
        if where is None and not wanted.event and not wanted.key:
            page = await self._store.runs(wanted.filter)
            return Found(page.runs, page.next)
        return await self._look(wanted, where)

    def _of_event(self, wanted: RunFilter, event: Event, joined: tuple[str, ...]) -> RunFilter:
        """Name the runs that an event has joined, and those that it can have started: they are called after it."""
        functions = [function.id for app in self._catalogue.apps for function in app.functions]
        started = [*(derived_id("run", event.id, function) for function in functions), *joined]
        handlers = [derived_id("run", run, _ON_FAILURE_KEY) for run in started]
        ids = {*started, *handlers}
        return structs.replace(wanted, ids=tuple(ids if wanted.ids is None else ids & set(wanted.ids)))

    async def _look(self, wanted: Selection, where: Expression | None) -> Found:
        look = _Look(self._store, wanted, where)
        before = wanted.filter.before
        while True:
            page = await self._store.runs(structs.replace(wanted.filter, before=before, limit=_CHUNK))
            before = await look.at(page.runs) or page.next
            if look.is_over or before is None or not page.runs:
                return Found(tuple(look.found), before, look.unclear)


class _Look:
    """One walk along the runs, as far as it may go."""

    def __init__(self, store: Store, wanted: Selection, where: Expression | None) -> None:
        self.found: list[Run] = []
        self.unclear = 0
        self._store = store
        self._wanted = wanted
        self._where = where
        self._payloads = where is not None and _reads(where, "run", _PAYLOADS)
        self._events = bool(wanted.event or wanted.key) or (where is not None and _reads(where, OWN))
        self._looked = 0
        self._bytes = 0
        self._seconds = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it has gone far enough."""
        return (
            len(self.found) >= self._wanted.filter.limit
            or self._looked >= LOOKED_MAX
            or self._bytes >= LOOKED_BYTES_MAX
            or self._seconds >= LOOKED_SECONDS
        )

    async def at(self, runs: Sequence[Run]) -> int | None:
        """Look at these runs. Returns the place of the last one if it was far enough before their end."""
        events: Mapping[str, Event] = await self._events_of(runs) if self._events else {}
        for run in runs:
            await self._consider(run, [events[id] for id in run.events if id in events])
            if self.is_over:
                return None if run is runs[-1] else run.ord
        return None

    async def _consider(self, run: Run, events: Sequence[Event]) -> None:
        self._looked += 1
        if not _has_event(run, events, self._wanted):
            return
        if self._where is not None:
            whole = await self._whole(run)
            begun_s = perf_counter()
            holds = await self._holds(self._where, whole, events)
            self._seconds += perf_counter() - begun_s
            if not holds:
                return
        self.found.append(run)

    async def _holds(self, where: Expression, run: Run, events: Sequence[Event]) -> bool:
        size = len(run.input) + len(run.output)
        self._bytes += size
        try:
            if size <= _INLINE_BYTES:
                return _evaluate(where, run, events)
            return await asyncio.to_thread(_evaluate, where, run, events)
        except ExpressionError:
            self.unclear += 1
            return False

    async def _whole(self, run: Run) -> Run:
        found = await self._store.run(run.id) if self._payloads else None
        return run if found is None else found

    async def _events_of(self, runs: Sequence[Run]) -> Mapping[str, Event]:
        ids = {id for run in runs for id in run.events}
        return {event.id: event for event in await self._store.events_of(sorted(ids))}


_INLINE_BYTES = 4096
"""A payload of this size takes less time than the way to a thread and back."""


def _has_event(run: Run, events: Sequence[Event], wanted: Selection) -> bool:
    if wanted.event and not any(_is_named(event.name, wanted.event) for event in events):
        return False
    return not wanted.key or has_key(run, wanted.key) or any(event.key == wanted.key for event in events)


def _is_named(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def has_key(run: Run, value: str) -> bool:
    """Tell whether a run is under a limit for this value of its key."""
    return any(has_value(flow.key, value) for flow in run.flow)


def _evaluate(where: Expression, run: Run, events: Sequence[Event]) -> bool:
    document = msgspec.to_builtins(run_view(run, LOOKED_BYTES_MAX))
    return where.holds(document, Subject(events[0]).document if events else None)


def _reads(where: Expression, variable: str, fields: frozenset[str] = frozenset()) -> bool:
    """Tell whether an expression reads a variable; with `fields`, one of these of it."""
    chains = [chain for chain in where.reads if chain.name == variable]
    return any(not fields or not chain.keys or chain.keys[0] in fields for chain in chains)

"""Writing what has become of a batch's rows: all changes with one statement, a part for each table that has any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from msgspec.structs import astuple

from ...model import Run
from ...rules import waits
from ..flows import pack_flow
from ..tables import LIMIT, PAUSE, EventRow, OpenWait, QueueRow, limit_item
from . import values
from .composing import shifted
from .queue_rows import Place
from .statements import statements
from .tables import PostgresTables
from .values import Row

_SQL = statements("write")


class Part(NamedTuple):
    """A statement of `write.sql`; `rows` must be as many as it says, unless that is None."""

    name: str
    parameters: tuple[Any, ...]
    rows: int | None


class Mark(NamedTuple):
    """Who writes, and his how manieth batch this is: found afterwards, it tells that the batch was committed."""

    writer: str
    batch: int


def parts(tables: PostgresTables) -> list[Part]:
    """Return what has changed; nothing if nothing has."""
    return [
        *_runs(tables),
        *_lines(tables),
        *_queue(tables),
        *_waits(tables),
        *_items(tables),
        *_events(tables),
        *_answers(tables),
        *_apps(tables),
        *_sessions(tables),
    ]


def compose(parts: Iterable[Part], mark: Mark) -> tuple[str, list[Any]]:
    """Return one statement and its parameters; it answers with the number of rows of each part."""
    marked = [Part("mark", tuple(mark), 1), *parts]
    return _compose(tuple(part.name for part in marked)), [value for part in marked for value in part.parameters]


def failed(parts: Iterable[Part], row: Row) -> list[str]:
    """Return the parts that found something else than what was read."""
    return [part.name for part, count in zip(parts, row[1:], strict=True) if part.rows not in (None, count)]


@cache
def _compose(names: tuple[str, ...]) -> str:
    texts: list[str] = []
    used = 0
    for index, name in enumerate(names):
        text, count = shifted(_SQL[name], used)
        texts.append(f"p{index} AS ({text})")
        used += count
    counts = ", ".join(f"(SELECT count(*) FROM p{index})" for index in range(len(names)))  # noqa: S608
    return f"WITH {', '.join(texts)} SELECT {counts}"


def _part(name: str, rows: Sequence[Row], *, is_counted: bool = True) -> Iterator[Part]:
    if rows:
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        yield Part(name, columns, len(rows) if is_counted else None)


# -- runs -----------------------------------------------------------------------------------------------------------


def _runs(tables: PostgresTables) -> Iterator[Part]:
    changes = list(tables.runs.changes())
    new = [run for _, found, run in changes if found is None and run is not None]
    ended = [run for _, _, run in changes if run is not None and run.status.is_terminal]
    going_on = [(found, run) for _, found, run in changes if run is not None and not run.status.is_terminal]
    yield from _part("add_runs", [_static_row(tables.new_runs[run.ord]) for run in new])
    yield from _part("put_run_events", [(ord, _array(events)) for ord, events in tables.new_events_of.items()])
    yield from _part("add_live", [_live_row(tables, run) for found, run in going_on if found is None])
    yield from _part("put_live", sorted(_live_row(tables, run) for found, run in going_on if found is not None))
    dropped = [run.ord for run in ended if tables.runs.found(run.ord) is not None]
    yield from _part("drop_live", [(ord, tables.versions[ord]) for ord in dropped])
    yield from _part("add_ended", [_ended_row(tables, run) for run in ended])
    gone = tables.gone_runs()
    if gone:
        yield Part("drop_ended", (gone,), len(gone))
        yield Part("drop_runs", (gone,), len(gone))
        yield Part("drop_tags", (gone,), None)


def _live_row(tables: PostgresTables, run: Run) -> Row:
    return (run.ord, tables.versions.get(run.ord, 1), tables.tails.get(run.ord) or 0, *values.state_row(run))


def _ended_row(tables: PostgresTables, run: Run) -> Row:
    end = (run.output, values.failure_row(run.failure))
    return (run.ord, tables.tails.get(run.ord) or 0, run.ended_at_ms, *values.state_row(run), *end)


def _static_row(run: Run) -> Row:
    return (
        run.ord,
        run.id,
        run.function,
        run.parent,
        run.parent_key,
        run.attempt,
        run.created_at_ms,
        _array(run.events),
        run.input,
        values.failure_row(run.cause),
        run.origin,
        " ".join(run.origins),
        pack_flow(run.flow),
    )


def _array(texts: tuple[str, ...]) -> str:
    """Return the text form of an array: lists of different lengths cannot stand in one parameter."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _lines(tables: PostgresTables) -> Iterator[Part]:
    yield from _part("add_lines", [tuple(line) for lines in tables.new_lines.values() for line in lines])
    trimmed = [(ord, now) for ord, found, now in tables.tails.changes() if found is not None and (now or 0) < found]
    yield from _part("drop_lines", trimmed, is_counted=False)
    kept = [row for row in trimmed if tables.runs.get(row[0]) is not None]
    yield from _part("put_ended", kept)


# -- queue and waits ------------------------------------------------------------------------------------------------


def _queue(tables: PostgresTables) -> Iterator[Part]:
    changes = list(tables.queue.changes())
    yield from _part("put_queue", [_queue_row(row) for _, _, row in changes if row is not None])
    dropped = [ord for ord, _, row in changes if row is None]
    if dropped:
        yield Part("drop_queue", (dropped,), len(dropped))
    places = list(tables.places.changes())
    yield from _part("put_places", [_place_row(place) for _, _, place in places if place is not None])
    yield from _part("drop_places", [at for at, _, place in places if place is None])


def _place_row(place: Place) -> Row:
    return (place.flow_key, place.ord, place.function, int(place.is_taken), place.rank)


def _queue_row(row: QueueRow) -> Row:
    return (row.ord, row.function, row.rank, row.state.value, row.due_at_ms, row.flow_key, row.fair_key)


def _waits(tables: PostgresTables) -> Iterator[Part]:
    yield from _part("put_tags", [tag for _, _, tag in tables.tag_rows.changes() if tag is not None])
    changes = list(tables.waits.changes())
    yield from _part("put_waits", [_wait_row(wait) for _, _, wait in changes if wait is not None])
    yield from _part("drop_waits", [place for place, _, wait in changes if wait is None])


def _wait_row(wait: OpenWait) -> Row:
    place = waits.place(wait.wait) or (None, None, None)
    return (wait.ord, wait.key, values.pack(wait.wait), wait.due_at_ms, wait.child, *place)


# -- what is kept by name -------------------------------------------------------------------------------------------


def _items(tables: PostgresTables) -> Iterator[Part]:
    gone = tables.item_drops
    changes = [
        (place, item) for place, _, item in tables.item_rows.changes() if item is not None or place[1] not in gone
    ]
    yield from _part("put_items", [astuple(item) for _, item in changes if item is not None])
    yield from _part("drop_item", [place for place, item in changes if item is None])
    if gone:
        yield Part("drop_items", (gone,), None)


# -- events and answers ---------------------------------------------------------------------------------------------


def _events(tables: PostgresTables) -> Iterator[Part]:
    changes = list(tables.accepted.changes())
    added = [_event_row(tables, row) for _, found, row in changes if found is None and row is not None]
    counts = {id: row.runs - found.runs for id, found, row in changes if found is not None and row is not None}
    joins = [id for id in tables.joins if id not in counts and id not in tables.new_events]
    counted = [(id, counts.get(id, 0), _joined(tables, id)) for id in (*counts, *joins)]
    dropped = [(id, found.runs) for id, found, row in changes if found is not None and row is None]
    yield from _part("add_events", added)
    yield from _part("count_runs", counted, is_counted=False)
    yield from _part("drop_events", dropped)


def _event_row(tables: PostgresTables, row: EventRow) -> Row:
    event = tables.events.get(row.id)
    assert event is not None, "an event is added with its data"
    meta = values.pack(event.meta) if event.meta else values.NO_META
    numbers = (event.ts_ms, row.received_at_ms, row.runs)
    return (row.ord, row.id, event.name, event.key, *numbers, _joined(tables, row.id), meta, event.data)


def _joined(tables: PostgresTables, event: str) -> str:
    return "".join(f"{run} " for run in tables.joins.get(event, ()))


def _answers(tables: PostgresTables) -> Iterator[Part]:
    changes = [(event, found, now) for event, found, now in tables.answers.changes() if now is not None]
    found_at = [found.expires_at_ms for _, found, _ in changes if found is not None]
    rows = [(event, now.expires_at_ms, now.body, values.pack(now.answer)) for event, _, now in changes]
    for part in _part("put_answers", rows):
        yield Part(part.name, (*part.parameters, found_at), part.rows)
    for now_ms, limit in tables.forgets[:1]:
        yield Part("forget_answers", (now_ms, limit, [event for event, _, _ in changes]), None)


def _apps(tables: PostgresTables) -> Iterator[Part]:
    yield from _part("put_apps", [(name, values.pack(app)) for name, app in tables.new_apps.items()])
    items = [(PAUSE, "", function, None, b"") for function, is_paused in tables.new_pauses.items() if is_paused]
    limits = [(limit_item(*place, limit or 0), limit) for place, limit in tables.new_limits.items()]
    yield from _part("put_items", [*items, *(astuple(item) for item, limit in limits if limit is not None)])
    gone = [(PAUSE, "", function) for function, is_paused in tables.new_pauses.items() if not is_paused]
    gone += [(LIMIT, "", item.name) for item, limit in limits if limit is None]
    yield from _part("drop_item", gone, is_counted=False)
    if tables.new_apps or tables.new_pauses or tables.new_limits:
        yield Part("new_catalog", (), 1)


# -- who is connected -----------------------------------------------------------------------------------------------


def _sessions(tables: PostgresTables) -> Iterator[Part]:
    changed = [session for _, _, session in tables.sessions.changes() if session is not None]
    instances = [session.instance for session in changed]
    yield from _part("put_sessions", [astuple(session) for session in changed])
    for seen_before_ms, limit in tables.session_forgets[:1]:
        yield Part("forget_sessions", (seen_before_ms, limit, instances), None)
    if tables.session_releases:
        yield Part("release_sessions", (instances,), None)
    replicas = list(tables.replica_rows.changes())
    yield from _part("put_replicas", [astuple(replica) for _, _, replica in replicas if replica is not None])
    gone = [id for id, _, replica in replicas if replica is None]
    if gone:
        yield Part("drop_replicas", (gone,), len(gone))
    yield from _part("put_duties", [astuple(duty) for _, _, duty in tables.duties.changes() if duty is not None])

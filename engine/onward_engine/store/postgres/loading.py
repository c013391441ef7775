"""Reading for a batch: all its needs with one statement, whose columns are lists of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, NamedTuple

from . import values
from .composing import shifted
from .needs import HELD_BY_ANY, Kind, Needs
from .statements import statements
from .tables import PostgresTables
from .values import Row

_SQL = statements("load")

Take = Callable[[list[Row]], None]


class Question(NamedTuple):
    """A statement of `load.sql`, its parameters, and who takes the rows."""

    name: str
    parameters: tuple[Any, ...]
    take: Take


class Answers(NamedTuple):
    """What every reading tells beside its rows."""

    catalog: int
    clock_ms: int


def questions(needs: Needs, tables: PostgresTables) -> list[Question]:
    """Return what to ask for these needs, in the order in which the answers are to be taken."""
    kinds: dict[Kind, Needs] = {}
    for need, limit in needs.items():
        kinds.setdefault(need.kind, Needs())[need] = limit
    asked: list[Question] = []
    for kind, ask in _QUESTIONS.items():
        if kind in kinds:
            asked += ask(kinds[kind], tables)
    return asked


def compose(asked: Iterable[Question]) -> tuple[str, list[Any]]:
    """Return one statement and its parameters."""
    names: list[str] = []
    parameters: list[Any] = []
    for question in asked:
        names.append(question.name)
        parameters += question.parameters
    return _compose(tuple(names)), parameters


def take(asked: Iterable[Question], row: Row) -> Answers:
    """Hand the rows to the tables."""
    for question, rows in zip(asked, row[2:], strict=True):
        question.take(rows or [])
    return Answers(row[0], row[1])


@cache
def _compose(names: tuple[str, ...]) -> str:
    columns: list[str] = []
    used = 0
    for name in names:
        text, count = shifted(_SQL[name], used)
        columns.append(f", (SELECT array_agg(found) FROM ({text}) AS found)")  # noqa: S608 - from this package's own files
        used += count
    return f"SELECT c.*{''.join(columns)} FROM ({_SQL['catalog']}) AS c"  # noqa: S608


# -- what each kind of need asks ------------------------------------------------------------------------------------

Ask = Callable[[Needs, PostgresTables], list[Question]]


def _keys(needs: Needs) -> list[Any]:
    return [need.key for need in needs]


def _ids(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("ids", (keys,), partial(tables.take_ids, keys))]


def _statics(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("statics", (_keys(needs),), tables.take_statics)]


def _runs(needs: Needs, tables: PostgresTables) -> list[Question]:
    ords = _keys(needs)
    placed = [ord for ord in ords if (static := tables.statics.get(ord)) is None or static.flow]
    live: list[Row] = []
    asked = [
        Question("live", (ords,), live.extend),
        Question("ended", (ords,), partial(tables.take_runs, ords, live)),
        Question("queue", (ords,), partial(tables.take_queue, ords)),
    ]
    return [*asked, Question("places", (placed,), tables.take_places)] if placed else asked


def _flow_keys(needs: Needs, tables: PostgresTables) -> list[Question]:
    wanted = {need.key: max(limit, 1) for need, limit in needs.items()}
    columns = (list(wanted), list(wanted.values()))
    counts: list[Row] = []
    return [
        Question("taken", (list(wanted),), counts.extend),
        Question("line", columns, partial(_take_keys, tables, wanted, counts)),
    ]


def _take_keys(tables: PostgresTables, wanted: dict[str, int], counts: list[Row], rows: list[Row]) -> None:
    tables.take_keys(wanted, counts, [row[:_RUN_AT] for row in rows])
    for row in rows:
        ord, (version, tail, *state), places = row[0], row[_STATE_AT:_PLACES_AT], row[_PLACES_AT:]
        tables.statics.keep(values.static_run(row[_RUN_AT:_STATE_AT]))
        tables.take_places([(at[0], ord, row[1], *at[1:]) for at in zip(*places, strict=True)])
        if ord not in tables.locked:
            tables.take_run(ord, version, tail, tuple(state))


_RUN_AT = values.QUEUE_COLUMNS
_STATE_AT = _RUN_AT + values.STATIC_COLUMNS
_PLACES_AT = _STATE_AT + 2 + values.STATE_COLUMNS


def _front(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("front", (_keys(needs), list(needs.values())), tables.take_front)]


def _ahead(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("ahead", (_keys(needs), list(needs.values())), tables.take_front)]


def _lines(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("lines", (*_columns(keys, 2), list(needs.values())), partial(tables.take_lines, keys))]


def _offers(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("offers", (*_columns(keys, 2), list(needs.values())), partial(tables.take_offers, keys))]


def _ranks(needs: Needs, tables: PostgresTables) -> list[Question]:
    last = {need.key: limit for need, limit in needs.items() if need.key[1]}
    first = {need.key[0]: limit for need, limit in needs.items() if not need.key[1]}
    return [
        Question("last_ranks", (*_columns(list(last), 2), list(last.values())), partial(tables.take_last, list(last))),
        Question("first_ranks", (list(first), list(first.values())), partial(tables.take_first, list(first))),
    ]


def _joined(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("joined", (_keys(needs),), tables.take_joined)]


def _paths(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("paths", (_keys(needs),), tables.take_paths)]


def _at(needs: Needs, tables: PostgresTables) -> list[Question]:
    columns = _columns(_keys(needs), 3)
    return [Question("at", columns, partial(tables.take_waits, []))]


def _wait(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("wait", _columns(keys, 2), partial(tables.take_waits, keys))]


def _waits(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("waits", (_keys(needs),), partial(tables.take_waits, []))]


def _some_wait(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("some_wait", (_keys(needs),), tables.take_some)]


def _entries(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("entries", _columns(keys, 2), partial(tables.take_entries, keys))]


def _journals(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    columns = (keys, list(needs.values()))
    return [Question("journals", columns, partial(tables.take_journals, keys))]


def _payloads(needs: Needs, tables: PostgresTables) -> list[Question]:
    ords = _keys(needs)
    return [
        Question("payloads", (ords,), tables.take_payloads),
        Question("payload_events", (ords,), partial(tables.take_events, [])),
    ]


def _made_of(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("made_of", (_keys(needs),), tables.take_made_of)]


def _tags(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("tags", (_keys(needs),), tables.take_tags)]


def _events(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("events", (keys,), partial(tables.take_events, keys))]


def _accepted(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("accepted", (keys,), partial(tables.take_accepted, keys))]


def _answers(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("answers", (keys,), partial(tables.take_answers, keys))]


def _back(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    columns = (list(range(len(keys))), *_columns(keys, 3), list(needs.values()))
    return [Question("back", columns, partial(tables.take_back, keys))]


def _heads(needs: Needs, tables: PostgresTables) -> list[Question]:
    wanted = {need.key: limit for need, limit in needs.items()}
    columns = (list(wanted), list(wanted.values()))
    return [Question("heads", columns, partial(tables.take_heads, wanted))]


def _later(needs: Needs, tables: PostgresTables) -> list[Question]:
    now_ms, limit = max(_keys(needs)), sum(needs.values())
    return [Question("later", (now_ms, limit), partial(tables.take_later, now_ms, limit))]


def _due(needs: Needs, tables: PostgresTables) -> list[Question]:
    now_ms, limit = max(_keys(needs)), sum(needs.values())
    return [Question("due", (now_ms, limit), partial(tables.take_due, now_ms, limit))]


def _next(needs: Needs, tables: PostgresTables) -> list[Question]:
    limit = max(needs.values())
    return [
        Question("next_waits", (limit,), tables.take_next_waits),
        Question("next_rows", (limit,), tables.take_next_rows),
        Question("next_items", (limit,), tables.take_next_items),
    ]


def _item(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("item", _columns(keys, 3), partial(tables.take_items, keys))]


def _items(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("items", _columns(_keys(needs), 2), partial(tables.take_items, []))]


def _ripe(needs: Needs, tables: PostgresTables) -> list[Question]:
    now_ms, limit = max(_keys(needs)), sum(needs.values())
    return [Question("ripe", (now_ms, limit), partial(tables.take_ripe, now_ms, limit))]


def _held(needs: Needs, tables: PostgresTables) -> list[Question]:
    holders = _keys(needs)
    if HELD_BY_ANY in holders:
        return [Question("held_by_any", (), tables.take_held)]
    return [Question("held", (holders,), tables.take_held)]


def _sessions(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("sessions", (keys,), partial(tables.take_sessions, keys))]


def _sessions_at(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("sessions_at", (need.key, limit), tables.take_sessions_at) for need, limit in needs.items()]


def _replica(needs: Needs, tables: PostgresTables) -> list[Question]:
    keys = _keys(needs)
    return [Question("replicas", (keys,), partial(tables.take_replicas, keys))]


def _replicas(needs: Needs, tables: PostgresTables) -> list[Question]:
    del needs
    return [Question("all_replicas", (), partial(tables.take_replicas, []))]


def _duties(needs: Needs, tables: PostgresTables) -> list[Question]:
    return [Question("duties", (_keys(needs),), tables.take_duties)]


def _ended(needs: Needs, tables: PostgresTables) -> list[Question]:
    def ask(ord: int, limit: int) -> Question:
        return Question("ended_after", (ord, limit), partial(tables.take_ended, ord))

    return [ask(need.key, limit) for need, limit in needs.items()]


def _kept(needs: Needs, tables: PostgresTables) -> list[Question]:
    def ask(ord: int, limit: int) -> Question:
        return Question("kept_after", (ord, limit), partial(tables.take_kept, ord))

    return [ask(need.key, limit) for need, limit in needs.items()]


def _numbers(needs: Needs, tables: PostgresTables) -> list[Question]:
    lacking = max(needs.values()) - len(tables.numbers)
    return [Question("numbers", (lacking,), tables.take_numbers)]


def _columns(rows: list[Any], count: int) -> tuple[list[Any], ...]:
    if not rows:
        return tuple([] for _ in range(count))
    return tuple(list(column) for column in zip(*rows, strict=True))


_QUESTIONS: dict[Kind, Ask] = {
    "id": _ids,
    "new": _ids,
    "static": _statics,
    "run": _runs,
    "key": _flow_keys,
    "paths": _paths,
    "at": _at,
    "wait": _wait,
    "waits": _waits,
    "some_wait": _some_wait,
    "entries": _entries,
    "journal": _journals,
    "payload": _payloads,
    "made_of": _made_of,
    "tags": _tags,
    "event": _events,
    "accepted": _accepted,
    "answer": _answers,
    "back": _back,
    "head": _heads,
    "later": _later,
    "due": _due,
    "next": _next,
    "held": _held,
    "session": _sessions,
    "enter": _sessions,
    "sessions_at": _sessions_at,
    "replica": _replica,
    "leave": _replica,
    "replicas": _replicas,
    "duty": _duties,
    "ended": _ended,
    "kept": _kept,
    "numbers": _numbers,
    "item": _item,
    "items": _items,
    "ripe": _ripe,
    "front": _front,
    "ahead": _ahead,
    "lines": _lines,
    "ranks": _ranks,
    "offers": _offers,
    "joined": _joined,
}

"""Rows to values and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from onward_protocol.messages import AppManifest, Event, Failure, Wait

from ...model import Run, Status
from ..flows import pack_flow, unpack_flow
from ..port import Accepted

Row = tuple[Any, ...]
Db = sqlite3.Connection

_pack = msgspec.msgpack.Encoder().encode
_ids = msgspec.msgpack.Decoder(tuple[str, ...])
_failure = msgspec.msgpack.Decoder(Failure)
_texts = msgspec.msgpack.Decoder(dict[str, str])
_tags = msgspec.json.Decoder(dict[str, str])
_wait: msgspec.msgpack.Decoder[Wait] = msgspec.msgpack.Decoder(Wait)
_app = msgspec.msgpack.Decoder(AppManifest)
_accepted = msgspec.msgpack.Decoder(Accepted)

NO_META = _pack({})
COLUMNS = 28
"""How many `runs.columns` there are; what a statement adds comes behind them."""

FRESH_COLUMNS = 13
"""How many of `runs.fresh` are the run's; its payload comes behind them."""

ORD = 15
"""Where the ord stands in a `live_row`."""

pack = _pack
unpack_wait = _wait.decode
unpack_app = _app.decode
unpack_accepted = _accepted.decode
unpack_ids = _ids.decode


def bare(run: Run) -> Run:
    """Return a run without its payloads."""
    return replace(run, events=(), input=b"", cause=None, output=b"", failure=None)


def run_of(row: Row) -> Run:
    """Return the run of a row of `runs.columns`, without its payloads; its tail is the row's 19th column."""
    return Run(
        id=row[0],
        ord=row[1],
        function=row[2],
        parent=row[5],
        parent_key=row[6],
        attempt=row[7],
        created_at_ms=row[8],
        status=Status(row[9]),
        epoch=row[10],
        seq=row[11],
        pos=row[12],
        seen=row[13],
        generation=row[14],
        steps=row[15],
        state_bytes=row[16],
        started_at_ms=row[17],
        holder=row[19],
        cancel_reason=row[20],
        ended_at_ms=row[21],
        strikes=row[22],
        origin=row[23],
        origins=tuple(row[24].split()),
        version=row[25],
        is_paused=bool(row[26]),
        flow=unpack_flow(row[27], row[3], row[4]),
    )


def fresh_of(row: Row) -> Run:
    """Return the run of a row of `runs.fresh`: nobody has claimed it, it has done no step."""
    id, ord, function, parent, parent_key, attempt, created_at_ms, state_bytes, *rest = row[:FRESH_COLUMNS]
    origin, origins, *flow = rest
    return Run(
        id=id,
        ord=ord,
        function=function,
        parent=parent,
        parent_key=parent_key,
        attempt=attempt,
        created_at_ms=created_at_ms,
        state_bytes=state_bytes,
        origin=origin,
        origins=tuple(origins.split()),
        flow=unpack_flow(*flow),
    )


def tail_of(row: Row) -> int:
    """Return the id of the last journal row of a run."""
    return int(row[18])


class Payload(NamedTuple):
    """What a run carries."""

    events: tuple[str, ...]
    input: bytes
    cause: Failure | None
    output: bytes = b""
    failure: Failure | None = None


def payload_of(row: Sequence[Any]) -> Payload:
    """Return the payload of a row of `runs.payloads`, or of `runs.carried` without the ord."""
    events, input, cause, *end = row
    output, failure = end or (None, None)
    return Payload(_ids.decode(events), input, failure_of(cause), output or b"", failure_of(failure))


def with_payload(run: Run, payload: Payload) -> Run:
    """Return a run with what it carries."""
    events, input, cause, output, failure = payload
    return replace(run, events=events, input=input, cause=cause, output=output, failure=failure)


def listed(row: Row) -> Run:
    """Return the run of a row of `reads.columns`."""
    tags, events, cause, failure = row[COLUMNS:]
    run = replace(run_of(row), tags=tags_of(tags), events=_ids.decode(events))
    return replace(run, cause=failure_of(cause), failure=failure_of(failure))


def whole(row: Row) -> Run:
    """Return the run of a row of `reads.whole`."""
    run = replace(run_of(row), tags=tags_of(row[COLUMNS]))
    return with_payload(run, payload_of(row[COLUMNS + 1 :]))


def tags_of(data: str) -> dict[str, str]:
    """Return the tags of a run, which a database gives as JSON."""
    return {} if data == "{}" else _tags.decode(data)


def failure_of(data: bytes | None) -> Failure | None:
    """Return a stored failure."""
    return None if data is None else _failure.decode(data)


def failure_row(failure: Failure | None) -> bytes | None:
    """Return what is stored for a failure."""
    return None if failure is None else _pack(failure)


def static_row(run: Run) -> Row:
    """Return the parameters of `runs.add_run`."""
    return (
        run.ord,
        run.id,
        run.function,
        run.parent,
        run.parent_key,
        run.attempt,
        run.created_at_ms,
        _pack(run.events),
        run.input,
        failure_row(run.cause),
        run.origin,
        " ".join(run.origins),
        pack_flow(run.flow),
    )


def live_row(run: Run, tail: int) -> Row:
    """Return the parameters of `runs.put_live` and of whatever lists the same columns."""
    return (
        run.status.value,
        run.epoch,
        run.seq,
        run.pos,
        run.seen,
        run.generation,
        run.steps,
        run.state_bytes,
        run.started_at_ms,
        tail,
        run.holder,
        run.cancel_reason,
        run.strikes,
        run.version,
        int(run.is_paused),
        run.ord,
    )


def listing(values: Sequence[int] | Sequence[str]) -> bytes:
    """Return a parameter for `json_each`: one statement for any number of rows."""
    return msgspec.json.encode(values)


def event_of(row: Row) -> Event:
    """Return the event of a row of `events.columns`."""
    id, name, data, ts_ms, ord, key, meta = row
    return Event(id, name, data, ts_ms, ord, key, {} if meta == NO_META else _texts.decode(meta))

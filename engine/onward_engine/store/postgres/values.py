"""Rows to values and back."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace
from onward_protocol.messages import AppManifest, Event, Failure, Wait

from ...model import Run, Status
from ..flows import unpack_flow
from ..port import Accepted
from ..tables import OpenWait, QueueRow, QueueState

Row: TypeAlias = "tuple[Any, ...]"

pack = msgspec.msgpack.Encoder().encode
unpack_ids = msgspec.msgpack.Decoder(tuple[str, ...]).decode
unpack_app = msgspec.msgpack.Decoder(AppManifest).decode
unpack_accepted = msgspec.msgpack.Decoder(Accepted).decode
_failure = msgspec.msgpack.Decoder(Failure)
_texts = msgspec.msgpack.Decoder(dict[str, str])
_wait: msgspec.msgpack.Decoder[Wait] = msgspec.msgpack.Decoder(Wait)

NO_META = pack({})
STATIC_COLUMNS = 12
QUEUE_COLUMNS = 7
STATE_COLUMNS = 14
_STATUS = {status.value: status for status in Status}


def static_run(row: Row) -> Run:
    """Return the run of a row of `load.static`."""
    ord, id, function, flow_key, flow_limit, parent, parent_key, attempt, created_at_ms, origin, origins, flow = row
    return Run(
        id=id,
        ord=ord,
        function=function,
        parent=parent,
        parent_key=parent_key,
        attempt=attempt,
        created_at_ms=created_at_ms,
        origin=origin,
        origins=tuple(origins.split()),
        flow=unpack_flow(flow, flow_key, flow_limit),
    )


def with_state(run: Run, row: Row, ended_at_ms: int = 0) -> Run:
    """Return a run with the columns of `load.state`."""
    epoch, seq, pos, seen, generation, steps, state_bytes, started_at_ms, strikes, status, holder, reason, *more = row
    version, is_paused = more
    return replace(
        run,
        epoch=epoch,
        seq=seq,
        pos=pos,
        seen=seen,
        generation=generation,
        steps=steps,
        state_bytes=state_bytes,
        started_at_ms=started_at_ms,
        strikes=strikes,
        status=_STATUS[status],
        holder=holder,
        cancel_reason=reason,
        ended_at_ms=ended_at_ms,
        version=version,
        is_paused=bool(is_paused),
    )


def state_row(run: Run) -> Row:
    """Return the columns of `load.state`."""
    return (
        run.epoch,
        run.seq,
        run.pos,
        run.seen,
        run.generation,
        run.steps,
        run.state_bytes,
        run.started_at_ms,
        run.strikes,
        run.status.value,
        run.holder,
        run.cancel_reason,
        run.version,
        int(run.is_paused),
    )


def bare(run: Run) -> Run:
    """Return a run without its payloads."""
    return replace(run, events=(), input=b"", cause=None, output=b"", failure=None)


def queue_row(row: Row) -> QueueRow:
    """Return a queue row."""
    ord, function, rank, state, due_at_ms, flow_key, fair_key = row
    return QueueRow(ord, function, rank, QueueState(state), due_at_ms, flow_key, fair_key)


def open_wait(row: Row) -> OpenWait:
    """Return a wait."""
    ord, key, wait, due_at_ms, child = row
    return OpenWait(ord, key, _wait.decode(wait), due_at_ms, child)


def event_of(row: Row) -> Event:
    """Return an event."""
    id, name, data, ts_ms, ord, key, meta = row
    return Event(id, name, data, ts_ms, ord, key, {} if meta == NO_META else _texts.decode(meta))


def failure_of(data: bytes | None) -> Failure | None:
    """Return a stored failure."""
    return None if data is None else _failure.decode(data)


def failure_row(failure: Failure | None) -> bytes | None:
    """Return what is stored for a failure."""
    return None if failure is None else pack(failure)

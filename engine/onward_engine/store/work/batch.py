"""A batch of operations in one transaction.

Most batches hold nothing that can fail, so they run without a savepoint. When an operation fails all the same, the
batch is rolled back and runs again with a savepoint around each operation: the culprit is refused, the others are
applied in their order, and it is still one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from onward_protocol.limits import Limits, Times

from .. import port
from ..tables import Tables
from . import (
    cancel,
    checkpoint,
    claim,
    duties,
    endings,
    guards,
    ingest,
    limits,
    ownership,
    pauses,
    presence,
    purge,
    register,
    resume,
    schedules,
    sessions,
    signals,
    starts,
    timekeeping,
    timers,
)
from .context import Work

_log = logging.getLogger("onward.store")

_HANDLERS: dict[type[port.Op[Any]], Callable[[Work, Any], object]] = {
    port.ApplyCheckpoint: checkpoint.apply_checkpoint,
    port.Claim: claim.claim,
    port.Admit: ownership.admit,
    port.Ingest: ingest.ingest,
    port.DropEvent: ingest.drop_event,
    port.HoldSchedule: schedules.hold_schedule,
    port.Backfill: schedules.backfill,
    port.StartRun: starts.start_run,
    port.GiveBack: ownership.give_back,
    port.Orphan: ownership.orphan,
    port.Resume: resume.resume,
    port.FireTimers: timers.fire_timers,
    port.NoteTime: timekeeping.note_time,
    port.ShiftTimers: timekeeping.shift_timers,
    port.CancelRun: cancel.cancel_run,
    port.Repeat: starts.repeat,
    port.PauseRun: pauses.pause_run,
    port.ResumeRun: pauses.resume_run,
    port.PauseFunction: pauses.pause_function,
    port.SetLimit: limits.set_limit,
    port.SendSignal: signals.send_signal,
    port.AnswerCallback: signals.answer_callback,
    port.Enter: sessions.enter,
    port.Confirm: sessions.confirm,
    port.Guard: guards.guard,
    port.Present: presence.present,
    port.TakeOver: presence.take_over,
    port.Remind: ownership.remind,
    port.Boot: ownership.boot,
    port.Register: register.register,
    port.Purge: purge.purge,
    port.HoldDuty: duties.hold_duty,
}


def apply_batch(tables: Tables, ops: Sequence[port.Op[object]], limits: Limits, times: Times) -> port.Committed:
    """Apply the operations in order and commit. Raises `StoreError`: then nothing is stored."""
    try:
        return _transact(Work(tables, limits, times), ops, _apply)
    except Exception as error:  # noqa: BLE001 - whatever it is, the neighbours must not suffer from it
        _raise_store_error(tables, error)
    return _transact(Work(tables, limits, times), ops, _apply_apart)


def explore(tables: Tables, ops: Sequence[port.Op[object]], limits: Limits, times: Times) -> None:
    """Do each operation as far as it gets, and take it all back: for tables that note what they are asked for."""
    work = Work(tables, limits, times)
    tables.begin()
    for op in ops:
        with suppress(Exception):
            _apply(work, op)
    with suppress(Exception):
        work.finish()
    tables.rollback()


_Apply = Callable[[Work, port.Op[object]], object]


def _transact(work: Work, ops: Sequence[port.Op[object]], apply: _Apply) -> port.Committed:
    work.tables.begin()
    try:
        outcomes = tuple([apply(work, op) for op in ops])
        notices = work.finish()
        work.tables.commit()
    except BaseException:
        work.tables.rollback()
        raise
    return port.Committed(outcomes, notices)


def _apply(work: Work, op: port.Op[object]) -> object:
    work.now_ms = op.now_ms
    outcome = _HANDLERS[type(op)](work, op)
    while work.abandoned or work.overgrown:
        cancel.cancel_abandoned(work)
        endings.fail_overgrown(work)
    return outcome


def _apply_apart(work: Work, op: port.Op[object]) -> object:
    work.tables.savepoint()
    mark = work.mark()
    try:
        outcome = _apply(work, op)
        work.tables.flush()
    except Exception as error:  # noqa: BLE001 - logged below, and nobody else must suffer from it
        _raise_store_error(work.tables, error)
        work.tables.rollback_to_savepoint()
        work.reset(mark)
        _log.exception("operation refused: %s", type(op).__name__)
        return port.Rejected("unstorable", f"this cannot be stored: {error}")
    return outcome


def _raise_store_error(tables: Tables, error: Exception) -> None:
    store_error = error if isinstance(error, port.StoreError) else tables.store_error(error)
    if store_error is not None:
        raise store_error from error

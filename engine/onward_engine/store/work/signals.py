"""What is sent to a run from outside: signals by name, and answers to its callbacks."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import Literal

from onward_protocol.messages import Returned, SignalWait

from ...model import Run
from ...rules.waits import CALLBACK, SIGNAL
from ...rules.watches import RESERVED, is_reserved
from ..port import Accepted, AnswerCallback, SendSignal, Signalled
from ..tables import OpenWait, Remembered
from . import mailbox, waits
from .context import Work
from .ingest import REMEMBERED_MS

_ANSWERED = f"{RESERVED}answered:"


def send_signal(work: Work, op: SendSignal) -> Signalled:
    """Hand a signal to its run, once."""
    first = _first(work, op)
    if first is not None:
        is_same = first.body == _body(op)
        return Signalled("delivered" if is_same else "conflict", first.answer.runs[0])
    signalled = _send(work, op)
    if op.id and signalled.verdict in ("delivered", "kept"):
        answer = Accepted(op.id, (op.run,))
        work.tables.remember(scope(op), Remembered(_body(op), answer, work.now_ms + REMEMBERED_MS))
    return signalled


def answer_callback(work: Work, op: AnswerCallback) -> Literal["answered", "repeated", "unknown"]:
    """Hand what was posted to the run that waits for it. That it was answered is known as long as the run goes on."""
    found = work.tables.waits_at(CALLBACK, "", op.token.encode())
    if not found:
        return "unknown"
    unanswered = [wait for wait in found if not is_reserved(wait.key)]  # several if the run was forked meanwhile
    for wait in unanswered:
        waits.resolve(work, wait, partial(Returned, key=wait.key, value=op.value, at_ms=work.now_ms))
        work.tables.put_wait(OpenWait(wait.ord, _ANSWERED + wait.key, wait.wait))
    return "answered" if unanswered else "repeated"


def _send(work: Work, op: SendSignal) -> Signalled:
    run = work.tables.run(op.run) if op.run else None
    if run is None:
        return Signalled("not_waiting" if op.is_for_waiter else "unknown")
    if run.status.is_terminal:
        return Signalled("not_waiting" if op.is_for_waiter else "over", run.id)
    wait = _awaiting(work, run, op.name)
    if wait is not None:
        waits.resolve(work, wait, lambda pos: Returned(pos, wait.key, op.value, work.now_ms))
        return Signalled("delivered", run.id)
    if op.is_for_waiter:
        return Signalled("not_waiting", run.id)
    return Signalled("kept" if mailbox.keep(work, run, op.name, op.value) else "full", run.id)


def _awaiting(work: Work, run: Run, name: str) -> OpenWait | None:
    found = work.tables.waits_of(run.ord)
    return next((wait for wait in found if isinstance(wait.wait, SignalWait) and wait.wait.name == name), None)


def _first(work: Work, op: SendSignal) -> Remembered | None:
    found = work.tables.remembered(scope(op)) if op.id else None
    return found if found and found.expires_at_ms > work.now_ms else None


def scope(op: SendSignal) -> str:
    """Return where the answer to this id is kept: beside those to events, whose ids are printable."""
    return RESERVED.join((SIGNAL, "" if op.is_for_waiter else op.run, op.name, op.id))


def _body(op: SendSignal) -> bytes:
    return blake2b(op.value, digest_size=16).digest()

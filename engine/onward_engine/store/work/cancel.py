"""Cancelling: an entry in the run's journal, time to clean up from the moment that a worker has it, then the end."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace
from onward_protocol.messages import CancelRequested, Sleep

from ...model import Run, Status
from ...rules.watches import CLEANUP_KEY
from ..port import CancelRun
from ..tables import OpenWait
from . import endings, offers, waits
from .context import Work

CLEANUP_MS = 30_000
"""How long a run may clean up that nobody has asked for: its caller gave it up, or one of its own rules ends it."""

Answer = Literal["cancelled", "cancelling", "terminal", "unknown", "begun"]


def cancel_run(work: Work, op: CancelRun) -> Answer:
    """Cancel a run on request. Without clean-up time it is over at once, even if it was cleaning up already."""
    run = work.tables.run(op.run)
    if run is not None and op.is_for_waiting and run.epoch > 0 and not run.status.is_terminal:
        return "begun"
    return "unknown" if run is None else cancel(work, run, op.reason, op.cleanup_ms)


def cancel_abandoned(work: Work) -> None:
    """Cancel the children that the operation at hand left without a caller."""
    while work.abandoned:
        child, reason = work.abandoned.pop(0)
        run = work.tables.run(child)
        if run is not None:  # a store that has not read it yet hears of all of them at once
            cancel(work, run, reason, CLEANUP_MS)


def start_cleanup(work: Work, run: Run) -> None:
    """Let the clean-up time of a cancelled run begin, now that a worker is being told. A takeover continues it."""
    if run.cancel_reason is None:
        return
    wait = work.tables.wait(run.ord, CLEANUP_KEY)
    if wait and wait.due_at_ms is None and isinstance(wait.wait, Sleep):
        work.tables.put_wait(replace(wait, due_at_ms=work.now_ms + wait.wait.ms))


def cancel(work: Work, run: Run, reason: str, cleanup_ms: int) -> Answer:
    """Cancel a run. One that nobody has begun, or that gets no time, is over at once."""
    if run.status.is_terminal:
        return "terminal"
    if run.epoch == 0 or cleanup_ms <= 0:
        work.fence(run, "cancelled")
        endings.cancel(work, run, reason)
        return "cancelled"
    if run.cancel_reason is None:
        _request(work, run, reason, cleanup_ms)
    return "cancelling"


def _request(work: Work, run: Run, reason: str, cleanup_ms: int) -> None:
    run = work.put(replace(run, cancel_reason=reason))
    work.tables.put_wait(OpenWait(run.ord, CLEANUP_KEY, Sleep(cleanup_ms)))
    run = work.write_entry(run, lambda pos: CancelRequested(pos, cleanup_ms, reason, work.now_ms))
    if run.status is Status.ASSIGNED:
        start_cleanup(work, run)
    elif run.is_paused or not run.started_at_ms:
        offers.offer_again(work, run)
    waits.wake(work, run)

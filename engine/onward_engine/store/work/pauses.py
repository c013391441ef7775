"""Functions that begin no new runs, and runs that go no further, until somebody resumes them."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from ...model import Status
from ..port import PauseFunction, PauseRun, ResumeRun
from . import offers
from .context import Work

Paused = Literal["paused", "pausing", "cancelling", "terminal", "unknown"]
Resumed = Literal["resumed", "terminal", "unknown"]


def pause_function(work: Work, op: PauseFunction) -> bool:
    """Keep the new runs of a function in the queue, or let them begin again. False if nobody offers it."""
    catalog = work.tables.catalog()
    if op.function not in catalog.functions:
        return False
    if (op.function in catalog.paused) != op.is_paused:
        work.tables.set_paused(op.function, op.is_paused)
        work.notices.registered = True
    if not op.is_paused:
        work.notices.queued.add(op.function)
    return True


def pause_run(work: Work, op: PauseRun) -> Paused:
    """Hold a run: at once if it waits for a worker, and at its next step boundary if one executes it. May be repeated.

    What it waits for still comes to it, and its sleeps go on.
    """
    run = work.tables.run(op.run)
    if run is None:
        return "unknown"
    if run.status.is_terminal:
        return "terminal"
    if run.cancel_reason is not None:
        return "cancelling"
    if not run.is_paused:
        run = work.put(replace(run, is_paused=True))
        offers.offer_again(work, run)
    if run.status is not Status.ASSIGNED:
        return "paused"
    work.halt(run)
    return "pausing"


def resume_run(work: Work, op: ResumeRun) -> Resumed:
    """Let a run go on. May be repeated."""
    run = work.tables.run(op.run)
    if run is None:
        return "unknown"
    if run.status.is_terminal:
        return "terminal"
    if run.is_paused:
        offers.offer_again(work, work.put(replace(run, is_paused=False)))
    return "resumed"

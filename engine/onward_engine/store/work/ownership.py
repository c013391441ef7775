"""Who executes a run: claims, returns to the holder, and everything by which a holder loses it."""

from __future__ import annotations

from onward_protocol.messages import EngineEntry

from ...model import Run, Status
from ...rules import lifecycle
from ..port import Admit, Boot, GiveBack, Orphan
from . import cancel, offers
from .context import Work


def admit(work: Work, op: Admit) -> tuple[EngineEntry, ...] | None:
    """Give a woken run back to its holder, if it still waits for it and has a place."""
    run = work.tables.run(op.run)
    if run is None or run.status is not Status.READY or (run.epoch, run.holder) != (op.epoch, op.instance):
        return None
    if not offers.take_place(work, run):
        return None
    run = _let_go_on(work, run, op.instance, op.generation)
    work.told(run)
    return work.entries_after(run, run.seen)


def take_back(work: Work, run: Run, instance: str, generation: int) -> Run:
    """Let the holder go on with a run that it still executes, at the same epoch.

    If somebody else has the place by now, the run waits for one like any other; what the holder sends is stored all
    the same.
    """
    if run.status is Status.ASSIGNED:
        return run if generation <= run.generation else work.put(lifecycle.resumed(run, instance, generation))
    if not offers.take_place(work, run):
        return _wait_for_place(work, run)
    run = _let_go_on(work, run, instance, generation)
    work.tell(run)
    return run


def requeue(work: Work, run: Run) -> None:
    """Free a run of its holder: anybody may claim it now. A parked one is only forgotten: its waits will wake it."""
    if run.status is Status.PARKED:
        work.put(lifecycle.forgotten(run))
        return
    work.told(run)
    offers.offer(work, work.put(lifecycle.requeued(run)))


def give_back(work: Work, op: GiveBack) -> bool:
    """Take a run from a worker that does not have it or cannot take it."""
    run = work.tables.run(op.run)
    if run is None or run.epoch != op.epoch or not run.holder or run.status.is_terminal:
        return False
    requeue(work, run)
    return True


def orphan(work: Work, op: Orphan) -> int:
    """Note that a connection is gone.

    Its runs may come back to it until somebody else claims them, unless it said farewell.
    """
    runs = [run for run in work.tables.held_by(op.instance) if run.generation == op.generation]
    farewell = None if op.unfinished is None else set(op.unfinished)
    return sum(_lose(work, run, op.claimable_at_ms, farewell) for run in runs)


def boot(work: Work, op: Boot) -> int:
    """Let every run that was executed when the engine stopped wait for its holder."""
    count = 0
    for held in work.tables.held():
        run = work.put(lifecycle.disconnected(held))
        if run.status in (Status.ASSIGNED, Status.ORPHANED, Status.READY):
            _hold(work, run, op.claimable_at_ms)
            count += 1
    return count


def _lose(work: Work, run: Run, claimable_at_ms: int, farewell: set[tuple[str, int]] | None) -> bool:
    if farewell is not None and ((run.id, run.epoch) in farewell or run.status is Status.PARKED):
        requeue(work, run)
        return True
    if run.status is not Status.ASSIGNED:
        return False
    _hold(work, run, claimable_at_ms)
    return True


def _hold(work: Work, run: Run, claimable_at_ms: int) -> None:
    if run.status is Status.ASSIGNED:
        run = work.put(lifecycle.orphaned(run))
    offers.offer(work, run, due_at_ms=claimable_at_ms)


def _let_go_on(work: Work, run: Run, instance: str, generation: int) -> Run:
    offers.withdraw(work, run)
    run = work.put(lifecycle.resumed(run, instance, generation))
    cancel.start_cleanup(work, run)
    return run


def _wait_for_place(work: Work, run: Run) -> Run:
    if run.status is not Status.PARKED:
        return run
    run = work.put(lifecycle.readied(run))
    offers.offer(work, run)
    return run

"""Who executes a run: claims, returns to the holder, and everything by which a holder loses it."""

from __future__ import annotations

from onward_protocol.messages import EngineEntry

from ...model import Run, Status
from ...rules import lifecycle, losses, sessions
from ..port import Admit, Boot, Fenced, GiveBack, Orphan, Remind
from . import cancel, offers
from .context import Work


def admit(work: Work, op: Admit) -> tuple[EngineEntry, ...] | None:
    """Give a woken run back to its holder, if it still waits for it and has a place."""
    run = work.tables.run(op.run)
    if run is None or run.status is not Status.READY or (run.epoch, run.holder) != (op.epoch, op.instance):
        return None
    if run.is_held or not work.is_heard(op.instance, op.generation) or not offers.take_places(work, run):
        return None
    run = _let_go_on(work, run, op.instance, op.generation)
    work.told(run)
    return work.entries_after(run, run.seen)


def take_back(work: Work, run: Run, instance: str, generation: int) -> Run:
    """Let the holder go on with a run that it still executes, at the same epoch.

    If somebody else has the place by now, the run waits for one like any other; and so it does if nobody would notice
    that this connection is over. What the holder sends is stored all the same.
    """
    if run.status is Status.ASSIGNED:
        return run if generation <= run.generation else work.put(lifecycle.resumed(run, instance, generation))
    if not work.is_heard(instance, generation) or not offers.take_places(work, run):
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
    if op.generation and run.generation != op.generation:
        return False
    requeue(work, run)
    return True


def orphan(work: Work, op: Orphan) -> int:
    """Note that a connection is gone.

    Its runs may come back to it until somebody else claims them, unless it said farewell.
    """
    _leave(work, op.instance, op.generation)
    runs = [run for run in work.tables.held_by(op.instance) if run.generation == op.generation]
    farewell = None if op.unfinished is None else set(op.unfinished)
    return sum(_lose(work, run, op.claimable_at_ms, farewell) for run in runs)


def bereave(work: Work, instance: str, generation: int, claimable_at_ms: int) -> int:
    """Note that the engine of a connection is gone: the worker is not to blame for it, and may be back elsewhere."""
    _leave(work, instance, generation)
    runs = [run for run in work.tables.held_by(instance) if run.generation == generation]
    executed = [run for run in runs if run.status is Status.ASSIGNED]
    for run in executed:
        hold(work, work.put(lifecycle.disconnected(run)), claimable_at_ms)
    return len(executed)


def remind(work: Work, op: Remind) -> None:
    """Have a holder told again of what it may have missed; what it does not hold any more it has to stop."""
    for id, epoch in op.runs:
        run = work.tables.run(id)
        if run is None or run.status.is_terminal or (run.epoch, run.holder) != (epoch, op.instance):
            work.notices.fenced.append(Fenced(id, epoch, op.instance, op.generation, "the run is not here any more"))
        elif run.status is Status.ASSIGNED:
            work.tell(run)
            if run.is_held:
                work.halt(run)
        elif run.status is Status.READY:
            work.remind(run)


def boot(work: Work, op: Boot) -> int:
    """Let every run that was executed when the engine stopped wait for its holder."""
    work.tables.release_sessions()
    for replica in work.tables.replicas():
        work.tables.drop_replica(replica.id)
    count = 0
    for held in work.tables.held():
        run = work.put(lifecycle.disconnected(held))
        if run.status in (Status.ASSIGNED, Status.ORPHANED, Status.READY):
            hold(work, run, op.claimable_at_ms)
            count += 1
    return count


def _leave(work: Work, instance: str, generation: int) -> None:
    session = work.tables.session(instance)
    if session is not None and session.generation == generation and session.replica:
        work.tables.put_session(sessions.left(session, work.now_ms))


def _lose(work: Work, run: Run, claimable_at_ms: int, farewell: set[tuple[str, int]] | None) -> bool:
    if farewell is not None and ((run.id, run.epoch) in farewell or run.status is Status.PARKED):
        requeue(work, run)
        return True
    if run.status is not Status.ASSIGNED:
        return False
    hold(work, run, claimable_at_ms)
    return True


def hold(work: Work, run: Run, claimable_at_ms: int) -> None:
    """Let a run wait for its holder, and from then on for anybody; as long as the holder has a guard, for it alone."""
    if run.status is Status.ASSIGNED:
        run = work.put(lifecycle.orphaned(run))
        work.count("orphaned", run)
    session = work.tables.session(run.holder)
    guarded_until_ms = 0 if session is None else session.guarded_until_ms
    paused_until_ms = work.now_ms + losses.pause_ms(run, work.times)
    offers.offer(work, run, due_at_ms=max(claimable_at_ms, guarded_until_ms, paused_until_ms))


def _let_go_on(work: Work, run: Run, instance: str, generation: int) -> Run:
    offers.withdraw(work, run)
    run = work.put(lifecycle.resumed(run, instance, generation))
    cancel.start_cleanup(work, run)
    if run.is_held:
        work.halt(run)
    return run


def _wait_for_place(work: Work, run: Run) -> Run:
    if run.status is not Status.PARKED:
        return run
    run = work.put(lifecycle.readied(run))
    offers.offer(work, run)
    return run

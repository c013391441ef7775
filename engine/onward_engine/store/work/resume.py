"""A worker says what it holds: each run is its own again, or it is told to stop.

What it does not list it does not have.
"""

from __future__ import annotations

from onward_protocol.messages import Held

from ...model import Run, Status
from ...rules import lifecycle
from ..port import Resume, Resumed
from . import offers, ownership
from .context import Work


def resume(work: Work, op: Resume) -> tuple[Resumed, ...]:
    """Take back what is held at its current epoch; free at once what is missing in the list."""
    answers = tuple(_answer(work, op, held) for held in op.held)
    if not op.is_whole:
        return answers
    listed = {(held.run, held.epoch) for held in op.held}  # what it has of an earlier epoch is no more than an end
    for run in work.tables.held_by(op.instance):
        if (run.id, run.epoch) not in listed and run.id not in op.ignore and run.generation <= op.generation:
            ownership.requeue(work, run)
    return answers


def _answer(work: Work, op: Resume, held: Held) -> Resumed:
    run = work.tables.run(held.run)
    if run is None:
        return _fenced(held, "the engine does not know this run")
    if run.status.is_terminal:
        return _fenced(held, f"the run is {run.status}")
    if (run.epoch, run.holder) != (held.epoch, op.instance):
        return _fenced(held, "the run is not this worker's any more")
    if held.acked_seq > run.seq or held.known > run.pos:
        return _regressed(work, run, held)
    return _owned(work, _go_on(work, run, op, held), held)


def _go_on(work: Work, run: Run, op: Resume, held: Held) -> Run:
    """A run that is parked there gets its slot by an admission, also if the wake-up that gave it one was lost."""
    is_parking = held.last_seq > run.seq  # the frame that says so is still to come
    if held.state != "parked" or (is_parking and run.status not in (Status.PARKED, Status.READY)):
        return ownership.take_back(work, run, op.instance, op.generation)
    run = work.put(lifecycle.held(run, op.instance, op.generation))
    if run.status is Status.PARKED:
        return run
    run = run if run.status is Status.READY else work.put(lifecycle.readied(run))
    offers.offer(work, run)
    return run


def _owned(work: Work, run: Run, held: Held) -> Resumed:
    if run.status is not Status.ASSIGNED:  # its entries come when it is admitted
        return Resumed(run.id, run.epoch, owned=True, seq=run.seq)
    work.told(run)
    if run.is_held:
        work.halt(run)
    return Resumed(run.id, run.epoch, owned=True, seq=run.seq, entries=work.entries_after(run, held.known))


def _regressed(work: Work, run: Run, held: Held) -> Resumed:
    """The store went backwards: the worker was told of more than there is. The run starts again from what there is."""
    ownership.requeue(work, run)
    return _fenced(held, "store_regressed")


def _fenced(held: Held, reason: str) -> Resumed:
    return Resumed(held.run, held.epoch, owned=False, reason=reason)

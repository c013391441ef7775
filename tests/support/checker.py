"""Whether a history keeps the promises. Three witnesses: the client, the bodies' ledger, and what was made durable.

All checks are linear in the history, because no two values are equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeGuard

import msgspec
from onward_engine.model import Run, Status
from onward_engine.store.port import SUPERSEDED, CancelRun, GiveBack, Ingest, Rejected, Resume
from onward_protocol.messages import (
    Arrived,
    Due,
    EventWait,
    Failed,
    Returned,
    StepDone,
    StepFailed,
    TimedOut,
    WaitOpened,
    WorkerEntry,
)

from tests.support.cluster import Loss
from tests.support.history import History, answers, frame_of, taken
from tests.support.ledger import Execution
from tests.support.stories import (
    ANSWER,
    FOR_EVER,
    Act,
    Ask,
    Await,
    Call,
    Fork,
    Hear,
    Op,
    Spawn,
    Story,
    calls,
    tells,
    width,
)

THROTTLE_MS = 1_000
"""The period of every throttle in a simulation."""


def violations(history: History) -> list[str]:
    """Return every broken promise in a sentence."""
    checks = (
        _lost,
        _results,
        _values,
        _executions,
        _repeats,
        _naps,
        _epochs,
        _ends,
        _waits,
        _phantoms,
        _rejections,
        _differences,
        _acked,
        _reads,
        _children,
        _situations,
        _starts,
        _order,
    )
    return [f"{check.__name__[1:]}: {problem}" for check in checks for problem in check(history)]


def _lost(history: History) -> Iterator[str]:
    """What was acknowledged exists, is over, and is the same in every answer."""
    for told in history.told:
        for runs in told.answers:
            if told.has_id and runs != told.answers[0]:
                yield f"{told.story.tale} was answered {told.answers[0]} and then {runs}"
            if len(runs) != 1:
                yield f"{told.story.tale} started {len(runs)} runs"
            yield from (f"{told.story.tale}: its run {run} is gone" for run in runs if run not in history.stored)
    given_up = _given_up(history)
    for one in history.stored.values():
        if one.run.status is not Status.COMPLETED and one.run.id not in given_up:
            yield f"{one.run.id} of {one.run.function} ended as {one.run.status}: {one.run.failure}"


def _results(history: History) -> Iterator[str]:
    """A run's result holds exactly the stored results of its steps, and what its story says."""
    stories = dict(_stories(history))
    for one in history.stored.values():
        if one.run.status is not Status.COMPLETED:
            continue
        returned: list[str] = msgspec.msgpack.decode(one.run.output)
        steps = [value for value in returned if "#" in value]
        kept = [_output(entry) for entry in one.entries if isinstance(entry, StepDone)]
        if sorted(steps) != sorted(kept):
            yield f"{one.run.id} returned {steps}, stored are {kept}"
        story = stories.get(one.run.id)
        if story is not None and [shape(value) for value in returned] != list(_shapes(story.plan)):
            yield f"{one.run.id} returned {returned} for {story.plan}"


def _values(history: History) -> Iterator[str]:
    """One stored outcome for each step; it is what one of its bodies returned, byte for byte."""
    for one in history.stored.values():
        outcomes = Counter(entry.key for entry in one.entries if isinstance(entry, StepDone | StepFailed))
        yield from (f"{one.run.id} has {count} outcomes for {key}" for key, count in outcomes.items() if count > 1)
        for entry in one.entries:
            if isinstance(entry, StepDone):
                step, _, number = _output(entry).partition("#")
                execution = history.ledger.by_number.get(int(number))
                if (
                    execution is None
                    or (execution.run, execution.step) != (one.run.id, step)
                    or execution.ended_at_ms is None
                ):
                    yield f"{one.run.id} stored {_output(entry)}, which no body of it has returned"


def _executions(history: History) -> Iterator[str]:
    """Bodies begin only on what is durable, never again once their result is, and never behind a newer epoch."""
    for execution in history.ledger.executions:
        yield from (f"{_who(execution)}: {complaint}" for complaint in execution.complaints)


def _repeats(history: History) -> Iterator[str]:
    """A body is repeated only because a worker was lost, and one loss only what was in flight or not durable."""
    repeats: Counter[str] = Counter()
    charged: defaultdict[str, set[Loss]] = defaultdict(set)
    for executions in history.ledger.by_step.values():
        for one, other in pairwise(executions):
            if one.is_raised:
                continue
            losses = _losses(history, one, other)
            if not losses:
                yield f"{_who(other)} repeats {_who(one)}, and nobody was lost"
            repeats[one.run] += 1
            charged[one.run] |= losses
    widths = _widths(history)
    for run, count in repeats.items():
        most = (history.unacked_max - 1 + widths.get(run, FOR_EVER)) * len(charged[run])
        if count > most:
            yield f"{run}: {count} bodies were repeated, {most} could be at {charged[run]}"


def _losses(history: History, one: Execution, other: Execution) -> set[Loss]:
    """Return what may have taken the run away between two executions. Gentle faults take nothing away."""
    return {
        loss
        for loss in (() if history.is_gentle else history.losses)
        if loss.worker in ("", one.worker, other.worker)
        and loss.began_at_ms <= other.began_at_ms
        and one.began_at_ms <= loss.ended_at_ms
    }


def _naps(history: History) -> Iterator[str]:
    """Nobody wakes up early."""
    for execution in history.ledger.executions:
        if execution.nap_ms:
            before = next(value for value in reversed(execution.builds_on) if "#" in value)
            fell_asleep = history.ledger.by_number[int(before.partition("#")[2])]
            assert fell_asleep.ended_at_ms is not None
            slept_ms = execution.began_at_ms - fell_asleep.ended_at_ms
            if slept_ms < execution.nap_ms:
                yield f"{_who(execution)} slept {slept_ms} of {execution.nap_ms} ms"


def _epochs(history: History) -> Iterator[str]:
    """Only the newest claim's holder is heard, its frames are stored in their order without gaps."""
    owners: dict[str, tuple[int, str]] = {}
    seqs: dict[str, int] = {}
    for record in history.records:
        for run in (assignment.run for assignment in taken(record)):
            if run.epoch != owners.get(run.id, (0, ""))[0] + 1:
                yield f"{run.id} went from {owners.get(run.id)} to epoch {run.epoch}"
            owners[run.id], seqs[run.id] = (run.epoch, run.holder), 0
        for answer in answers(record):
            if answer.owned and owners.get(answer.run, (0, ""))[0] != answer.epoch:
                yield f"{answer.run} went back to a worker at {answer.epoch}, its owner is {owners.get(answer.run)}"
        frame = frame_of(record)
        if frame is None:
            continue
        if owners.get(frame.run) != (frame.epoch, frame.instance):
            yield f"{frame.run}: stored from {(frame.epoch, frame.instance)}, its owner is {owners.get(frame.run)}"
        if frame.seq != seqs.get(frame.run, 0) + 1:
            yield f"{frame.run}: frame {frame.seq} was stored behind frame {seqs.get(frame.run, 0)}"
        seqs[frame.run] = frame.seq


def _ends(history: History) -> Iterator[str]:
    """A run ends once, and nothing is stored after it."""
    yield from (f"{run} ended {count} times" for run, count in Counter(history.finished).items() if count > 1)
    over: set[str] = set()
    for record in history.records:
        frame = frame_of(record)
        if frame is not None and frame.run in over:
            yield f"{frame.run}: a frame was stored after its end"
        if frame is not None and record.outcome.status.is_terminal:
            over.add(frame.run)
        if isinstance(record.op, CancelRun) and record.outcome == "cancelled":
            over.add(record.op.run)
    for one in history.stored.values():
        numbers = [(epoch, seq) for epoch, seq, _ in one.segments]
        if numbers != sorted(numbers):
            yield f"{one.run.id}: its journal is out of order: {numbers}"
        late = [end for end in one.ends if end.at_ms > one.run.ended_at_ms]
        yield from (f"{one.run.id}: {end} was written after its end" for end in late)


def _waits(history: History) -> Iterator[str]:
    """Each wait ends once: by an event that came in time, or by its time if none did."""
    for one in history.stored.values():
        ends = [entry for entry in one.ends if isinstance(entry, Arrived | Due | Failed | Returned | TimedOut)]
        counts = Counter(entry.key for entry in ends)
        yield from (f"{one.run.id}: {key} ended {count} times" for key, count in counts.items() if count > 1)
        seen = {end.event.id for end in ends if isinstance(end, Arrived)}
        for end in ends:
            if isinstance(end, TimedOut):
                missed = _came_in_time(history, one.run, end) - seen
                yield from (f"{one.run.id}: {end.key} timed out although {event} had come" for event in missed)


def _came_in_time(history: History, run: Run, end: TimedOut) -> set[str]:
    """Return the events for this wait that were accepted after the run and before its time was over."""
    wait = next(entry.wait for entry in history.stored[run.id].entries if _opens(entry, end.key))
    assert isinstance(wait, EventWait)
    return {
        new.event.id
        for record in history.records
        if isinstance(record.op, Ingest) and isinstance(record.outcome, tuple)
        if run.created_at_ms < record.at_ms < end.at_ms
        for new in record.op.events
        if new.event.name == wait.event and wait.match[0].value in new.event.data
    }


def _opens(entry: WorkerEntry, key: str) -> TypeGuard[WaitOpened]:
    return isinstance(entry, WaitOpened) and entry.key == key


def _phantoms(history: History) -> Iterator[str]:
    """Exactly those runs exist that somebody asked for."""
    known = {run for told in history.told for runs in told.answers for run in runs}
    told = [one for one in history.stored.values() if one.run.function == "sim/told" and not one.run.parent]
    if all(told_one.has_id for told_one in history.told):
        yield from (f"{one.run.id} was asked for by nobody" for one in told if one.run.id not in known)
        asides = sum(1 for one in history.stored.values() if one.run.function == "sim/aside")
        yield from _counted("were started by sent events", asides, history, tells)


def _children(history: History) -> Iterator[str]:
    """Each call starts one child."""
    if all(told.has_id for told in history.told):
        children = sum(1 for one in history.stored.values() if one.run.parent)
        yield from _counted("are children", children, history, calls)


def _counted(what: str, count: int, history: History, in_plan: Callable[[list[Op]], int]) -> Iterator[str]:
    """Compare with what the stories say; those that are cancelled may stop before."""
    least = sum(in_plan(told.story.plan) for told in history.told if not told.is_cancelled)
    most = sum(in_plan(told.story.plan) for told in history.told)
    if not least <= count <= most:
        yield f"{count} runs {what}, not {least} to {most}"


def _acked(history: History) -> Iterator[str]:
    """What was acknowledged to a worker is stored, byte for byte."""
    for (run, key), output in history.overheard.acked.items():
        entries = history.stored[run].entries if run in history.stored else []
        kept = [one.output for one in entries if isinstance(one, StepDone) and one.key == key]
        if kept != [output]:
            yield f"{run} {key} was acknowledged as {output!r}, stored is {kept}"


def _reads(history: History) -> Iterator[str]:
    """Whoever reads a journal reads the same, at any time."""
    kept = {(one.run.id, *segment) for one in history.stored.values() for segment in one.segments}
    yield from (f"{run} was read as {rest}, which is not stored" for run, *rest in history.overheard.read - kept)


def _situations(history: History) -> Iterator[str]:
    """After every commit each run is where somebody looks for it, and no limit is exceeded."""
    yield from history.complaints


def _starts(history: History) -> Iterator[str]:
    """In no period begin more runs than the throttle says."""
    throttle = history.controls.throttle
    if throttle is None:
        return
    begun = [at_ms for at_ms, run in _begun(history) if run.function == "sim/told"]
    for index, first_ms in enumerate(begun):
        count = sum(1 for at_ms in begun[index:] if at_ms < first_ms + THROTTLE_MS)
        if count > throttle.limit + throttle.burst - 1:
            yield f"{count} runs began within a second of {first_ms}, {throttle.limit} may"


def _order(history: History) -> Iterator[str]:
    """Of what is limited to one at a time the runs begin in the order of their acceptance."""
    if history.controls.priority or history.controls.fair:
        return
    last: dict[str, int] = {}
    for _, run in _begun(history):
        for flow in run.flow:
            if flow.limit == 1 and not flow.is_shared:
                if run.ord < last.get(flow.key, 0):
                    yield f"{run.id} began behind run {last[flow.key]} of {flow.key}, and was accepted before it"
                last[flow.key] = run.ord


def _begun(history: History) -> Iterator[tuple[int, Run]]:
    for record in history.records:
        for assignment in taken(record):
            if assignment.run.epoch == 1:
                yield record.at_ms, assignment.run


def _rejections(history: History) -> Iterator[str]:
    """Nothing that a part of the product asks of the store is unheard of. An engine may not know that one of its
    workers has a connection elsewhere.
    """
    for record in history.records:
        if isinstance(record.outcome, Rejected) and record.outcome.code != SUPERSEDED:
            yield f"{type(record.op).__name__} was rejected: {record.outcome}"


def _differences(history: History) -> Iterator[str]:
    """A connection loses nothing, so what its two ends believe about the worker's runs never differs."""
    for record in history.records if history.is_honest else ():
        if isinstance(record.op, Resume) and not record.op.is_whole:
            yield f"{record.op.instance} and the engine differed about {record.op.held}"
        elif isinstance(record.op, GiveBack) and record.op.reason == "lost":
            yield f"{record.op.run} was lost between the two ends of a connection"


# -- helpers ---------------------------------------------------------------------------------------------------------


def _stories(history: History) -> Iterator[tuple[str, Story]]:
    for told in history.told:
        for runs in told.answers:
            yield from ((run, told.story) for run in runs)


def _given_up(history: History) -> set[str]:
    """Return the runs that may have been cancelled: those of such a story, and their children."""
    found = {run for told in history.told if told.is_cancelled for runs in told.answers for run in runs}
    for one in sorted(history.stored.values(), key=lambda one: one.run.ord):
        if one.run.parent in found:
            found.add(one.run.id)
    return found


def _widths(history: History) -> dict[str, int]:
    return {run: width(story.plan) for run, story in _stories(history)}


def _shapes(plan: list[Op]) -> Iterator[str]:
    """What a plan returns, without the numbers."""
    for deed in plan:
        match deed:
            case Act():
                yield f"failed:{deed.name}" if deed.failures >= FOR_EVER else deed.name
            case Fork():
                for branch in deed.branches:
                    yield from _shapes(branch)
            case Call():
                yield f"child:{len(list(_shapes(deed.story.plan)))}"
            case Await():
                yield "wait"
            case Hear():
                yield f"heard:{deed.number}"
            case Ask():
                yield from (*_shapes(deed.beside), f"answered:{ANSWER}")
            case Spawn():
                yield "started"
            case _:
                pass


def shape(value: str) -> str:
    """Return what a story says about a value: not which execution it is from, nor how a wait ended."""
    return "wait" if value == "timeout" or value.startswith("go:") else value.partition("#")[0]


def _output(entry: StepDone) -> str:
    return msgspec.msgpack.decode(entry.output, type=str)


def _who(execution: Execution) -> str:
    return f"{execution.run} {execution.value} on {execution.worker} at epoch {execution.epoch}"

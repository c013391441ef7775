"""What a batch will read, as far as its operations tell and this process knows their runs.

Pure. A plan need not be complete: what is missing in it is found when the batch is done, and costs one more reading. A
plan that names too much costs a row that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from onward_protocol.ids import derived_id
from onward_protocol.messages import (
    Draft,
    Event,
    EventWait,
    FunctionManifest,
    HandedBack,
    Invoke,
    Outcome,
    Parked,
    Progress,
    RunFailed,
    Schedule,
    Sent,
    SignalWait,
    Started,
    Tagged,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
)

from ...model import Item, Run
from ...rules import flow, paths, schedules, waits
from ...rules.triggers import Catalog
from ...rules.watches import CLEANUP_KEY
from .. import delayed, planned, port
from ..work import mailbox, marks, signals, timekeeping
from ..work.checkpoint import PLAIN
from .needs import HELD_BY_ANY, Need, Needs
from .statics import Statics

_MARKED = -1  # entries above what is marked
_NEXT_DUE = 4
_BACK = 16  # events of a name that are looked at first

Paths = Callable[[str], Iterable[str]]


def plan(
    ops: Sequence[port.Op[Any]], statics: Statics, catalog: Catalog, known_paths: Paths, ripe: Iterable[Item] = ()
) -> Needs:
    """Return what these operations will read. `known_paths` are the paths of waits for an event name, as far as they
    were read already, `ripe` the items that are due.
    """
    planner = _Planner(statics, catalog, known_paths, ripe)
    for op in ops:
        with suppress(Exception):  # what is wrong with an operation comes out when it is done
            _OPS[type(op)](planner, op)
    return planner.finished()


class _Planner:
    def __init__(self, statics: Statics, catalog: Catalog, known_paths: Paths, ripe: Iterable[Item]) -> None:
        self.needs = Needs()
        self._ripe = ripe
        self._statics = statics
        self._catalog = catalog
        self._known_paths = known_paths
        self._numbers = 0
        self._rows_due: tuple[int, int] = (0, 0)

    def finished(self) -> Needs:
        self.needs.want("next", (), _NEXT_DUE)
        if self._numbers:
            self.needs.want("numbers", (), self._numbers)
        now_ms, limit = self._rows_due
        if limit:
            self.needs.want("later", now_ms, limit)
        return self.needs

    # -- operations -------------------------------------------------------------------------------------------------

    def checkpoint(self, op: port.ApplyCheckpoint) -> None:
        run = self._run(op.run)
        if run is None:
            return
        for entry in op.entries:
            if not isinstance(entry, PLAIN):
                self._entry(run, entry, op.now_ms)
        if op.outcome is not None:
            self._outcome(run, op.outcome)

    def ingest(self, op: port.Ingest) -> None:
        for new in op.events:
            self._taken_in(new.event, new.due_at_ms, op.now_ms)
            if new.dedup:
                self.needs.want("answer", new.event.id)
                self.needs.want("event", new.event.id)

    def drop_event(self, op: port.DropEvent) -> None:
        self.needs.want("keep", (delayed.KIND, delayed.OWNER))
        self.needs.want("item", (delayed.KIND, delayed.OWNER, op.event))
        self.needs.want("answer", op.event)

    def start(self, op: port.StartRun) -> None:
        self._new_run(op.run, op.function, None, op.input)

    def repeat(self, op: port.Repeat) -> None:
        source = self._run(op.source)
        if source is not None:
            self.needs.want("payload", source.ord)
            self._new_run(op.run, source.function, None, op.input or b"")

    def claim(self, op: port.Claim) -> None:
        self.needs.want("session", op.instance)
        for function in op.functions:
            self.needs.want("head", function, self.needs.get(Need("head", function), 0) + op.limit)
        self._due_rows(op.now_ms, op.limit)

    def admit(self, op: port.Admit) -> None:
        self.needs.want("session", op.instance)
        run = self._run(op.run)
        if run is not None:
            self._woken(run)
            self._place(run)

    def give_back(self, op: port.GiveBack) -> None:
        self._run(op.run)

    def orphan(self, op: port.Orphan) -> None:
        self.needs.want("enter", op.instance)
        self.needs.want("held", op.instance)

    def resume(self, op: port.Resume) -> None:
        self.needs.want("session", op.instance)
        self._resume(op)

    def enter(self, op: port.Enter) -> None:
        self.needs.want("enter", op.instance)
        self.needs.want("leave", op.replica)
        self._resume(op)

    def guard(self, op: port.Guard) -> None:
        self.needs.want("enter", op.instance)
        self.needs.want("held", op.instance)

    def confirm(self, op: port.Confirm) -> None:
        self.needs.want("enter", op.instance)

    def present(self, op: port.Present) -> None:
        self.needs.want("leave", op.replica)
        self.needs.want("replicas", ())

    def take_over(self, op: port.TakeOver) -> None:
        self.needs.want("leave", op.replica)
        self.needs.want("sessions_at", op.replica, op.limit)

    def remind(self, op: port.Remind) -> None:
        for id, _ in op.runs:
            run = self._run(id)
            if run is not None:
                self._entries(run)

    def fire(self, op: port.FireTimers) -> None:
        self.needs.want("due", op.now_ms, op.limit)
        self.needs.want("ripe", op.now_ms, op.limit)
        for item in self._ripe:
            if item.kind == delayed.KIND:
                self._event(delayed.event_of(item))
                self.needs.want("accepted", item.name)
            elif item.kind == planned.KIND:
                self._fired(item.owner, planned.plan_of(item), op.now_ms)
        self._due_rows(op.now_ms, op.limit)

    def note_time(self, op: port.NoteTime) -> None:
        del op
        self.needs.want("keep", (timekeeping.KIND, ""))
        self.needs.want("item", (timekeeping.KIND, "", ""))

    def cancel(self, op: port.CancelRun) -> None:
        run = self._run(op.run)
        if run is not None:
            self._woken(run)
            self._ends(run)

    def signal(self, op: port.SendSignal) -> None:
        self.needs.want("answer", signals.scope(op))
        run = self._run(op.run) if op.run else None
        if run is not None:
            self.needs.want("waits", run.ord)
            self._woken(run)
            self._place(run)
            self._mailbox(run.id)

    def callback(self, op: port.AnswerCallback) -> None:
        self.needs.want("at", (waits.CALLBACK, "", op.token.encode()))

    def hold(self, op: port.PauseRun | port.ResumeRun) -> None:
        run = self._run(op.run)
        if run is not None:
            self._place(run)

    def pause(self, op: port.PauseFunction) -> None:
        del op
        self.needs.want("apps", ())

    def boot(self, op: port.Boot) -> None:
        del op
        self.needs.want("held", HELD_BY_ANY)
        self.needs.want("replicas", ())

    def register(self, op: port.Register) -> None:
        self.needs.want("apps", ())
        known = [function for function in self._catalog.functions.values() if function.id.startswith(f"{op.app.name}/")]
        for function in (*op.app.functions, *known):
            if function.schedules:
                self.needs.want("items", (planned.KIND, function.id))
                self.needs.want("keep", (planned.KIND, function.id))

    def hold_schedule(self, op: port.HoldSchedule) -> None:
        self.needs.want("keep", (planned.KIND, op.function))
        self.needs.want("item", (planned.KIND, op.function, op.name))

    def backfill(self, op: port.Backfill) -> None:
        for tick_ms in op.ticks:
            self._tick(op.function, op.schedule, tick_ms)

    def hold_duty(self, op: port.HoldDuty) -> None:
        self.needs.want("duty", op.duty)

    def purge(self, op: port.Purge) -> None:
        if op.after_run is not None:
            self.needs.want("ended", op.after_run, op.limit)
        if op.after_event is not None:
            self.needs.want("kept", op.after_event, op.limit)

    # -- runs -------------------------------------------------------------------------------------------------------

    def _run(self, id: str) -> Run | None:
        run = self._statics.named(id)
        if run is None:
            self.needs.want("id", id)
        else:
            self.needs.want("run", run.ord)
        return run

    def _place(self, run: Run) -> None:
        """It may give its place to somebody in line, who is one more to be read."""
        if run.flow_key:
            self.needs.want("key", run.flow_key, self.needs.get(Need("key", run.flow_key), 0) + 1)

    def _entries(self, run: Run) -> None:
        self.needs.want("entries", (run.ord, _MARKED))

    def _woken(self, run: Run) -> None:
        self._entries(run)
        self.needs.want("wait", (run.ord, CLEANUP_KEY))

    def _ends(self, run: Run) -> None:
        self._place(run)
        self.needs.want("waits", run.ord)
        if run.parent_key:
            parent = self._run(run.parent)
            if parent is not None:
                self._place(parent)
                self.needs.want("wait", (parent.ord, run.parent_key))

    def _resume(self, op: port.Resume | port.Enter) -> None:
        self.needs.want("held", op.instance)
        for held in op.held:
            run = self._run(held.run)
            if run is not None:
                self._woken(run)

    def _due_rows(self, now_ms: int, limit: int) -> None:
        latest, wanted = self._rows_due
        self._rows_due = (max(latest, now_ms), wanted + limit)

    def _mailbox(self, run: str) -> None:
        self.needs.want("items", (mailbox.KIND, run))
        self.needs.want("keep", (mailbox.KIND, run))

    # -- frames -----------------------------------------------------------------------------------------------------

    def _entry(self, run: Run, entry: WorkerEntry, now_ms: int) -> None:
        match entry:
            case WaitOpened():
                self.needs.want("wait", (run.ord, entry.key))
                self._entries(run)
                self._opened(run, entry, now_ms)
            case WaitClosed():
                self.needs.want("wait", (run.ord, entry.key))
            case Started():
                self._entries(run)
                self._new_run(derived_id("run", run.id, entry.key), entry.function, None, entry.input)
            case Tagged():
                self.needs.want("tags", run.ord)
            case Progress():
                self.needs.want("keep", (port.PROGRESS, run.id))
                self.needs.want("item", (port.PROGRESS, run.id, marks.NEWEST))
            case Sent():
                for index, draft in enumerate(entry.events):
                    self._draft(draft, draft.id or derived_id("evt", run.id, entry.key, index), now_ms)
            case _:
                pass

    def _opened(self, run: Run, entry: WaitOpened, now_ms: int) -> None:
        match entry.wait:
            case EventWait() as wait:
                self.needs.want("opens", wait.event)
                if wait.where:
                    self.needs.want("payload", run.ord)
                if wait.after is not None:
                    self.needs.want("back", (wait.event, wait.after, now_ms - waits.LOOK_BACK_MS), _BACK)
            case SignalWait():
                self._mailbox(run.id)
            case Invoke() as wait:
                self._new_run(derived_id("run", run.id, entry.key), wait.function, None, wait.input)
            case _:
                pass

    def _outcome(self, run: Run, outcome: Outcome) -> None:
        match outcome:
            case Parked():
                self._place(run)
                self.needs.want("some_wait", run.ord)
            case HandedBack():
                pass
            case _:
                self._ends(run)
        if isinstance(outcome, RunFailed):
            self.needs.want("payload", run.ord)

    # -- events and new runs ----------------------------------------------------------------------------------------

    def _draft(self, draft: Draft, id: str, now_ms: int) -> None:
        event = Event(id, draft.name, draft.data, draft.ts_ms, 0, draft.key, draft.meta)
        self._taken_in(event, draft.due_at_ms, now_ms)
        self.needs.want("accepted", id)
        if draft.id:
            self.needs.want("answer", id)
            self.needs.want("event", id)

    def _taken_in(self, event: Event, due_at_ms: int, now_ms: int) -> None:
        if due_at_ms <= now_ms:
            self._event(event)
        else:
            self.needs.want("keep", (delayed.KIND, delayed.OWNER))
            self.needs.want("item", (delayed.KIND, delayed.OWNER, event.id))
            self.needs.want("event", event.id)

    def _event(self, event: Event) -> None:
        self._numbers += 1
        self.needs.want("paths", event.name)
        for path in self._known_paths(event.name):
            value = paths.index_key(paths.find(event.data, path)) if path else b""
            self.needs.want("at", (event.name, path, value))
        for function in self._catalog.triggered(event).functions:
            self._numbers += 1
            self._started(function, event, b"")

    def _fired(self, function: str, plan: schedules.Plan, now_ms: int) -> None:
        for tick_ms in schedules.due(function, plan, now_ms).ticks:
            self._tick(function, plan.schedule, tick_ms)
        last = self._run(plan.last_run) if plan.last_run and plan.schedule.overlap != "allow" else None
        if last is not None and plan.schedule.overlap == "cancel":
            self._woken(last)
            self._ends(last)

    def _tick(self, function: str, schedule: Schedule, tick_ms: int) -> None:
        event = schedules.event_of(function, schedule, tick_ms)
        self._numbers += 1
        self.needs.want("accepted", event.id)
        self._new_run(schedules.run_id(function, schedule, tick_ms), function, event, b"")

    def _new_run(self, id: str, function: str, event: Event | None, input: bytes) -> None:
        known = self._statics.named(id)
        if known is not None:
            self.needs.want("run", known.ord)
            self.needs.want("payload", known.ord)
            return
        self.needs.want("new", id)
        manifest = self._catalog.functions.get(function)
        if manifest is not None:
            self._numbers += 1
            self._started(manifest, event, input)

    def _started(self, function: FunctionManifest, event: Event | None, input: bytes) -> None:
        key, _ = flow.flow_of(function, event, input)
        if key:
            self.needs.want("key", key, 1)
        for rule in function.cancel_on:
            self.needs.want("opens", rule.event)


_OPS: dict[type[port.Op[Any]], Callable[[_Planner, Any], None]] = {
    port.ApplyCheckpoint: _Planner.checkpoint,
    port.Ingest: _Planner.ingest,
    port.DropEvent: _Planner.drop_event,
    port.HoldSchedule: _Planner.hold_schedule,
    port.Backfill: _Planner.backfill,
    port.StartRun: _Planner.start,
    port.Repeat: _Planner.repeat,
    port.Claim: _Planner.claim,
    port.Admit: _Planner.admit,
    port.GiveBack: _Planner.give_back,
    port.Orphan: _Planner.orphan,
    port.Resume: _Planner.resume,
    port.Enter: _Planner.enter,
    port.Guard: _Planner.guard,
    port.Confirm: _Planner.confirm,
    port.Present: _Planner.present,
    port.TakeOver: _Planner.take_over,
    port.Remind: _Planner.remind,
    port.FireTimers: _Planner.fire,
    port.NoteTime: _Planner.note_time,
    port.CancelRun: _Planner.cancel,
    port.SendSignal: _Planner.signal,
    port.AnswerCallback: _Planner.callback,
    port.PauseRun: _Planner.hold,
    port.ResumeRun: _Planner.hold,
    port.PauseFunction: _Planner.pause,
    port.Boot: _Planner.boot,
    port.Register: _Planner.register,
    port.Purge: _Planner.purge,
    port.HoldDuty: _Planner.hold_duty,
}

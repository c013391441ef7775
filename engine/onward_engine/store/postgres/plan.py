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
    RunFailed,
    Sent,
    Started,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
)

from ...model import Run
from ...rules import flow, paths, waits
from ...rules.triggers import Catalog
from .. import port
from ..tables import CLEANUP_KEY
from ..work.checkpoint import PLAIN
from .needs import HELD_BY_ANY, Need, Needs
from .statics import Statics

_MARKED = -1  # entries above what is marked
_NEXT_DUE = 4
_BACK = 16  # events of a name that are looked at first

Paths = Callable[[str], Iterable[str]]


def plan(ops: Sequence[port.Op[Any]], statics: Statics, catalog: Catalog, known_paths: Paths) -> Needs:
    """Return what these operations will read. `known_paths` are the paths of waits for an event name, as far as they
    were read already.
    """
    planner = _Planner(statics, catalog, known_paths)
    for op in ops:
        with suppress(Exception):  # what is wrong with an operation comes out when it is done
            _OPS[type(op)](planner, op)
    return planner.finished()


class _Planner:
    def __init__(self, statics: Statics, catalog: Catalog, known_paths: Paths) -> None:
        self.needs = Needs()
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
            self._event(new.event)
            if new.dedup:
                self.needs.want("answer", new.event.id)
                self.needs.want("event", new.event.id)

    def start(self, op: port.StartRun) -> None:
        self._new_run(op.run, op.function, None, op.input)

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
        self._due_rows(op.now_ms, op.limit)

    def cancel(self, op: port.CancelRun) -> None:
        run = self._run(op.run)
        if run is not None:
            self._woken(run)
            self._ends(run)

    def boot(self, op: port.Boot) -> None:
        del op
        self.needs.want("held", HELD_BY_ANY)
        self.needs.want("replicas", ())

    def register(self, op: port.Register) -> None:
        del op
        self.needs.want("apps", ())

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
                self._new_run(derived_id("run", run.id, entry.key), entry.function, None, entry.input)
            case Sent():
                for index, draft in enumerate(entry.events):
                    self._draft(draft, draft.id or derived_id("evt", run.id, entry.key, index))
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

    def _draft(self, draft: Draft, id: str) -> None:
        self._event(Event(id, draft.name, draft.data, draft.ts_ms, 0, draft.key, draft.meta))
        self.needs.want("accepted", id)
        if draft.id:
            self.needs.want("answer", id)
            self.needs.want("event", id)

    def _event(self, event: Event) -> None:
        self._numbers += 1
        self.needs.want("paths", event.name)
        for path in self._known_paths(event.name):
            value = paths.index_key(paths.find(event.data, path)) if path else b""
            self.needs.want("at", (event.name, path, value))
        for function in self._catalog.triggered(event).functions:
            self._numbers += 1
            self._flow_key(function, event, b"")

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
            self._flow_key(manifest, event, input)

    def _flow_key(self, function: FunctionManifest, event: Event | None, input: bytes) -> None:
        key, _ = flow.flow_of(function, event, input)
        if key:
            self.needs.want("key", key, 1)


_OPS: dict[type[port.Op[Any]], Callable[[_Planner, Any], None]] = {
    port.ApplyCheckpoint: _Planner.checkpoint,
    port.Ingest: _Planner.ingest,
    port.StartRun: _Planner.start,
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
    port.CancelRun: _Planner.cancel,
    port.Boot: _Planner.boot,
    port.Register: _Planner.register,
    port.Purge: _Planner.purge,
    port.HoldDuty: _Planner.hold_duty,
}

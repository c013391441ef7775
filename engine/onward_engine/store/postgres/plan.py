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
    FairRule,
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

from ...model import Flow, Item, Run
from ...rules import paths, schedules, waits
from ...rules.conditions import Document
from ...rules.expressions import ExpressionError
from ...rules.flow import keys, ranks
from ...rules.flow.entry import BATCH, DEBOUNCE, NO_ENTRY, Entry, entry_of, gathering_rule, has_entry, kind_of
from ...rules.flow.gathering import Gathered, keeps_all, size_max
from ...rules.triggers import Catalog
from ...rules.watches import CLEANUP_KEY, START_KEY, rule_key
from .. import delayed, planned, port
from ..work import gathering, limits, mailbox, marks, signals, standing, timekeeping
from ..work.checkpoint import PLAIN
from . import flows
from .needs import HELD_BY_ANY, RANKS, Need, Needs
from .statics import Statics

_MARKED = -1  # entries above what is marked
_NEXT_DUE = 4
_BACK = 16  # events of a name that are looked at first

Paths = Callable[[str], Iterable[str]]
Kept = Callable[[str, str], Item | None]


def plan(
    ops: Sequence[port.Op[Any]],
    statics: Statics,
    catalog: Catalog,
    known_paths: Paths,
    ripe: Iterable[Item] = (),
    kept: Kept = lambda kind, owner: None,
) -> Needs:
    """Return what these operations will read. What was read already tells more: `known_paths` are the paths of waits
    for an event name, `ripe` the items that are due, `kept` is the nameless item of a kind that somebody owns.
    """
    planner = _Planner(statics, catalog, known_paths, ripe, kept)
    for op in ops:
        with suppress(Exception):  # what is wrong with an operation comes out when it is done
            _OPS[type(op)](planner, op)
    return planner.finished()


class _Planner:
    def __init__(
        self, statics: Statics, catalog: Catalog, known_paths: Paths, ripe: Iterable[Item], kept: Kept
    ) -> None:
        self.needs = Needs()
        self._ripe = ripe
        self._kept = kept
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
            manifest = self._catalog.functions.get(function)
            if manifest is not None:
                flows.want_claimed(self.needs, manifest, op.limit)
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
            elif item.kind in (DEBOUNCE, BATCH):
                self._gathering(gathering.gathered_of(item), is_full=True)
            elif item.kind == limits.KIND:
                self.needs.want("lines", (item.owner, item.body.decode()), limits.LINES_MAX)
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

    def set_limit(self, op: port.SetLimit) -> None:
        self.needs.want("apps", ())
        for kind, name in ((port.LIMIT_LOG, op.option), (limits.KIND, "")):
            self.needs.want("keep", (kind, op.function))
            self.needs.want("item", (kind, op.function, name))

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
        """It may give its places to others in line, of whom one more is to be read."""
        if run.flow:
            flows.want(self.needs, run, self._catalog, 1)
            flows.want_fronts(self.needs, run)

    def _entries(self, run: Run) -> None:
        self.needs.want("entries", (run.ord, _MARKED))

    def _woken(self, run: Run) -> None:
        self._entries(run)
        self.needs.want("wait", (run.ord, CLEANUP_KEY))

    def _ends(self, run: Run) -> None:
        self._place(run)
        for flow in run.flow:
            if flow.option == keys.SINGLETON:
                self.needs.want("keep", (keys.SINGLETON, flow.key))
                self.needs.want("item", (keys.SINGLETON, flow.key, ""))
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
            entry = self._entered(function, event) if has_entry(function) else NO_ENTRY
            if entry.gathering:
                self._watched(function)
            else:
                self._started(function, event, b"")

    def _entered(self, function: FunctionManifest, event: Event) -> Entry:
        """What the gates keep for an event says which other runs it is about."""
        try:
            entry = entry_of(function, keys.document_of(event, b""))
        except ExpressionError:
            return NO_ENTRY
        for owner in entry.owners():
            kind = kind_of(owner)
            self.needs.want("keep", (kind, owner))
            self.needs.want("item", (kind, owner, ""))
            item = self._kept(kind, owner)
            if item is not None and kind == keys.SINGLETON:
                self._replaced(item.body.decode())
            elif item is not None and kind in (DEBOUNCE, BATCH):
                self._joined(function, gathering.gathered_of(item))
        return entry

    def _replaced(self, id: str) -> None:
        older = self._run(id)
        if older is not None:
            self._woken(older)
            self._ends(older)

    def _joined(self, function: FunctionManifest, gathered: Gathered) -> None:
        rule = gathering_rule(function)
        assert rule is not None, "it has an entry for what it gathers"
        run = self._gathering(gathered, is_full=gathered.count + 1 >= size_max(rule))
        if run is not None and keeps_all(rule):
            self.needs.want("made_of", run.ord)
        elif run is not None:
            self.needs.want("accepted", gathered.event)

    def _gathering(self, gathered: Gathered, *, is_full: bool) -> Run | None:
        """One that has all its events begins."""
        run = self._run(gathered.run)
        function = self._catalog.functions.get(run.function) if run else None
        if run is None or function is None:
            return run
        self._watched(function)
        for index in range(len(function.cancel_on)):
            self.needs.want("wait", (run.ord, rule_key(index)))
        if is_full and not gathered.is_due:
            self.needs.want("event", gathered.event)
            flows.want(self.needs, run, self._catalog)
            if function.start_timeout_ms is not None:
                self.needs.want("wait", (run.ord, START_KEY))
        return run

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
        if standing.has_options(function):
            document = keys.document_of(event, input)
            flows.want_flows(self.needs, self._flows(function, document), function)
            if function.fair is not None:
                self._ranks(function.id, function.fair, document)
        self._watched(function)

    def _watched(self, function: FunctionManifest) -> None:
        for rule in function.cancel_on:
            self.needs.want("opens", rule.event)

    def _flows(self, function: FunctionManifest, document: Document) -> Iterable[Flow]:
        try:
            return keys.flows_of(function, document)
        except ExpressionError:
            return keys.flows_of(function, None)

    def _ranks(self, function: str, rule: FairRule, document: Document) -> None:
        self.needs.want("ranks", (function, ""), RANKS)
        with suppress(ExpressionError):
            self.needs.want("ranks", (function, ranks.share_of(rule, document).key), RANKS)


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
    port.SetLimit: _Planner.set_limit,
    port.Boot: _Planner.boot,
    port.Register: _Planner.register,
    port.Purge: _Planner.purge,
    port.HoldDuty: _Planner.hold_duty,
}

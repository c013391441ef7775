"""What the operations of one batch share: the rows, the limits, and what others must hear of the commit."""

from __future__ import annotations

from collections.abc import Callable

from onward_protocol.codec import decode_engine_entries, encode_engine_entries
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import EngineEntry

from ...model import Run, Status
from ...rules import lifecycle, sessions
from ..port import Fenced, Halted, Happened, Notices, Woken
from ..tables import QueueState, Tables

Mark = tuple[Notices, dict[str, list[EngineEntry]]]


class Work:
    """One batch being applied. `now_ms` is the time of the operation at hand.

    Runs are read anew by every helper and written back before the next one is called: an operation on one run often
    changes others, and sometimes comes back to the first.
    """

    def __init__(self, tables: Tables, limits: Limits, times: Times) -> None:
        """Begin with nothing to tell."""
        self.tables = tables
        self.limits = limits
        self.times = times
        self.now_ms = 0
        self.notices = Notices()
        self.abandoned: list[tuple[str, str]] = []
        self.overgrown: list[str] = []
        self._woken: dict[str, list[EngineEntry]] = {}

    def run(self, run: str) -> Run:
        """Return a run that is known to exist."""
        found = self.tables.run(run)
        if found is None:
            raise LookupError(f"run {run} is gone")
        return found

    def put(self, run: Run) -> Run:
        """Store a run that goes on."""
        self.tables.put_run(run)
        return run

    def write_entry(self, run: Run, make: Callable[[int], EngineEntry]) -> Run:
        """Append an engine entry to a run; `make` gets its pos. Whether its worker hears of it is up to `tell`."""
        entry = make(run.pos + 1)
        data = encode_engine_entries((entry,))
        run = self.put(lifecycle.with_entry(run, len(data)))
        self.tables.add_entry(run, data)
        if run.state_bytes > self.limits.state_bytes_max:
            self.overgrown.append(run.id)
        self._woken.setdefault(run.id, []).append(entry)
        self.notices.written.add(run.id)
        return run

    def entries_after(self, run: Run, pos: int) -> tuple[EngineEntry, ...]:
        """Return the engine entries of a run above `pos`."""
        if run.pos <= pos:
            return ()
        return tuple(entry for data in self.tables.entries_after(run, pos) for entry in decode_engine_entries(data))

    def tell(self, run: Run) -> None:
        """Have the holder told of everything that it has not marked, because it may have missed some of it."""
        self._woken[run.id] = list(self.entries_after(run, run.seen))

    def remind(self, run: Run) -> None:
        """Have the holder asked to take a run back; it gets the entries when it does."""
        self._woken.setdefault(run.id, [])

    def told(self, run: Run) -> None:
        """Note that the outcome at hand carries all entries of this run."""
        self._woken.pop(run.id, None)

    def fence(self, run: Run, reason: str) -> None:
        """Have the holder of a run stop."""
        if run.holder:
            self.notices.fenced.append(Fenced(run.id, run.epoch, run.holder, run.generation, reason))

    def halt(self, run: Run) -> None:
        """Have the holder of a run hand it back at its next step boundary."""
        halted = Halted(run.id, run.epoch, run.holder, run.generation)
        if halted not in self.notices.halted:
            self.notices.halted.append(halted)

    def count(self, what: str, run: Run) -> None:
        """Have something counted that has happened to a run."""
        self.notices.happened.append(Happened(what, run.function))

    def is_heard(self, instance: str, generation: int) -> bool:
        """Tell whether a worker's connection may get runs."""
        return sessions.is_heard(self.tables.session(instance), generation)

    def abandon(self, child: str, reason: str) -> None:
        """Have a child run cancelled at the end of the operation at hand.

        Its end must not reach into what is half done now.
        """
        self.abandoned.append((child, reason))

    def mark(self) -> Mark:
        """Return what is to be told up to now."""
        notices = self.notices
        told = Notices(
            queued=set(notices.queued),
            fenced=list(notices.fenced),
            halted=list(notices.halted),
            left=set(notices.left),
            finished=list(notices.finished),
            written=set(notices.written),
            superseded=list(notices.superseded),
            registered=notices.registered,
            unclear=list(notices.unclear),
            missed=list(notices.missed),
            happened=list(notices.happened),
            freed=list(notices.freed),
        )
        return told, {run: list(entries) for run, entries in self._woken.items()}

    def reset(self, mark: Mark) -> None:
        """Tell nothing of what came after the mark."""
        self.notices, self._woken = mark
        self.abandoned.clear()
        self.overgrown.clear()

    def finish(self) -> Notices:
        """Return what must be told as of the end of the batch: one `Woken` per run that has a holder to be woken."""
        for run in map(self.run, self._woken):
            entries = tuple(entry for entry in self._woken[run.id] if entry.pos > run.seen)
            if self._is_to_wake(run, entries):
                self.notices.woken.append(
                    Woken(run.id, run.epoch, run.status, run.holder, run.generation, run.function, entries)
                )
        self.notices.next_due_at_ms = self.tables.next_due_at_ms()
        return self.notices

    def _is_to_wake(self, run: Run, entries: tuple[EngineEntry, ...]) -> bool:
        if run.status is Status.ASSIGNED:
            return bool(entries)
        if run.status is not Status.READY or not run.holder:
            return False
        row = self.tables.queue_row(run.ord)
        return row is not None and row.state not in (QueueState.LINE, QueueState.HELD)

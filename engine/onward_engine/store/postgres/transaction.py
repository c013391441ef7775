"""One try at a batch: locks, then reading, then the operations over what was read, then writing what they changed.

What is read under a lock is read by a statement that begins after the lock was given: the snapshot of the statement
that waits for it is older.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onward_protocol.limits import Limits, Times

from ...model import Item
from ...rules.watches import CLEANUP_KEY, FINISH_KEY, START_KEY
from ..claims import RecentClaims
from ..port import Claim, Committed, Op
from ..tables import limits_of
from ..work.batch import apply_batch, explore
from ..work.offers import LET_IN_MAX, LINE
from . import flows, loading, locks, writing
from .clock import DatabaseClock
from .event_rows import KnownApps
from .locks import Lock, LockClass, Locks
from .needs import ALL, OF_KEYS, Kind, Need, Needs
from .plan import plan
from .reading import Incomplete
from .statements import statements
from .statics import Statics
from .tables import PostgresTables
from .values import unpack_app
from .writing import Mark

if TYPE_CHECKING:
    from .link import Connection

_SQL = statements("load")
_RUNS: tuple[Kind, ...] = ("id", "static")
_FRONTS: tuple[Kind, ...] = ("front", "ahead", "lines")
_SCOUTS: tuple[Kind, ...] = (*_RUNS, *_FRONTS, "paths", "at", "held", "due", "sessions_at", "keep", "ripe")
_LISTS: tuple[Kind, ...] = ("at", "held", "due", "head", "later", "ripe")
_ROUNDS_MAX = 50
_SKIPPED_MS = 50  # what another replica is busy with is looked at again after so long


class Restart(Exception):
    """A lock is needed before one that is held: everything again, with all of them from the start."""

    def __init__(self, needs: Needs) -> None:
        super().__init__("again, with more locks")
        self.needs = needs


@dataclass(slots=True)
class Known:
    """What this process keeps from one batch to the next."""

    statics: Statics = field(default_factory=Statics)
    apps: KnownApps = field(default_factory=KnownApps)
    claims: RecentClaims = field(default_factory=RecentClaims)
    clock: DatabaseClock = field(default_factory=DatabaseClock)


class Transaction:
    """One transaction for one batch. `extra` is what earlier tries have found to be needed, `numbers` what they have
    drawn and not used.
    """

    def __init__(
        self, connection: Connection, ops: Sequence[Op[object]], known: Known, numbers: list[int], extra: Needs
    ) -> None:
        self._connection = connection
        self._ops = ops
        self._known = known
        self._extra = extra
        self._needs = Needs()
        self._held: Locks = {}
        self._is_open = False
        self.tables = PostgresTables(known.statics, known.apps, known.claims, numbers)

    async def run(self, limits: Limits, times: Times) -> Committed:
        """Do everything up to writing. Raises `Restart`, and what the connection raises."""
        await self._look_ahead()
        await self._take(locks.locks_of(self._needs))
        await self._lock_free(self.tables.due_waits)
        if self.tables.locked:
            self._uncover(_LISTS)
        await self._load(self._needs)
        await self._lock_found()
        return await self._work(limits, times)

    async def write(self, mark: Mark) -> bool:
        """Write what has changed; False if nothing has. Raises `Restart` if what was read is not true any more."""
        parts = writing.parts(self.tables)
        if not parts:
            return False
        text, parameters = writing.compose(parts, mark)
        row = await self._connection.fetchrow(text, *parameters)
        assert row is not None
        if writing.failed(parts, tuple(row)):
            raise Restart(self._doubted())
        return True

    # -- before the operations ----------------------------------------------------------------------------------------

    async def _look_ahead(self) -> None:
        """Find out which runs it is all about, while no lock is held that others need often."""
        self._plan()
        while scouts := self._unread(self._scouts()):
            wanted = locks.locks_of(self._needs)
            await self._take({lock: alone for lock, alone in wanted.items() if lock.kind <= LockClass.EVENT})
            await self._load(scouts if locks.lacking(wanted, self._held) else self._needs)
            self._plan()

    def _scouts(self) -> Needs:
        """Return what tells of more that is needed, and is locked early or not at all."""
        scouts = self._needs.of(*_SCOUTS)
        for need, limit in self._needs.of("item").items():
            if need.key[0] not in OF_KEYS:
                scouts[need] = limit
        return scouts

    def _plan(self) -> None:
        tables, known = self.tables, self._known
        seen = (tables.known_paths, tables.ripe, tables.kept_item)
        self._needs = plan(self._ops, known.statics, known.apps.catalog, *seen)
        self._needs.merge(self._extra)
        self._want_runs(tables.found_runs)
        for id in tables.found_ids:
            self._want_named(id)
        for instance in tables.found_sessions:
            self._needs.want("enter", instance)
            self._needs.want("held", instance)
        for ord in tables.due_waits:
            self._want_keys(ord)
        for keeper in tables.found_keepers:
            self._want_kept(*keeper)
        self._want_fronts()

    def _want_kept(self, kind: str, owner: str) -> None:
        self._needs.want("keep", (kind, owner))
        if kind in OF_KEYS:
            self._needs.want("key", owner, LET_IN_MAX)
            self._needs.want("front", owner, LET_IN_MAX)

    def _want_fronts(self) -> None:
        """Those who may be let in or claimed need places under all of their limits. Lines that were found are noted."""
        for key in self.tables.found_keys:
            self._needs.want("keep", (LINE, key))
            self._needs.want("item", (LINE, key, ""))
        for ord in self.tables.next_runs:
            static = self._known.statics.get(ord)
            if static is not None:
                flows.want(self._needs, static, self._known.apps.catalog)

    def _want_named(self, id: str) -> None:
        ord = self.tables.ord_of(id)
        if ord is not None:
            self._want_runs((ord,))
        elif id not in self.tables.ords:
            self._needs.want("id", id)

    def _want_runs(self, ords: Iterable[int]) -> None:
        """These runs are about to be changed, so the keys of their limits are as well."""
        for ord in ords:
            self._needs.want("run", ord)
            self._want_keys(ord)

    def _want_keys(self, ord: int) -> None:
        static = self._known.statics.get(ord)
        if static is None:
            self._needs.want("static", ord)
        else:
            flows.want(self._needs, static, self._known.apps.catalog)
            flows.want_fronts(self._needs, static)

    async def _lock_found(self) -> None:
        """Lock what may be claimed, and what is due, unless somebody else has locked it."""
        tables, connection = self.tables, self._connection
        await self._lock_ripe()
        due = [*tables.due_rows, *tables.due_waits]
        if not due and not tables.claimable:
            return
        wanted = {function: tables.covered[Need("head", function)] for function in tables.claimable}
        rows = await connection.fetch(_SQL["lock_heads"], list(wanted), list(wanted.values())) if wanted else []
        ords = [*self._note_runs(row[0] for row in rows), *await self._lock_free(due)]
        claims = [op for op in self._ops if isinstance(op, Claim)]
        journal_bytes = max((ALL if op.journal_bytes_max is None else op.journal_bytes_max for op in claims), default=0)
        keys = (CLEANUP_KEY, *self._timeouts(claims))
        for ord in ords:
            self._needs.want("payload", ord)
            self._needs.want("entries", (ord, -1))
            for key in keys:
                self._needs.want("wait", (ord, key))
            self._needs.want("journal", ord, journal_bytes)
        self._uncover(_LISTS)
        tables.claimable.clear()
        await self._load(self._needs)

    async def _lock_ripe(self) -> None:
        """Lock what the items that are due belong to, and read them again if somebody else could have changed them."""
        for keeper in self.tables.found_keepers:
            self._want_kept(*keeper)
        if self._unread(self._needs.of("keep")):
            await self._take(locks.locks_of(self._needs))
            await self._load(self._needs)

    def _timeouts(self, claims: Iterable[Claim]) -> tuple[str, ...]:
        """Return the keys of waits that a first claim of any of these functions looks at."""
        known = self._known.apps.catalog.functions
        found = (known.get(function) for claim in claims for function in claim.functions)
        limits = [(one.start_timeout_ms, one.finish_timeout_ms) for one in found if one]
        return (START_KEY, FINISH_KEY) if any(limit is not None for pair in limits for limit in pair) else ()

    async def _lock_free(self, ords: Iterable[int]) -> list[int]:
        """Lock those of the runs that nobody else has locked, want them, and return them."""
        wanted = [ord for ord in ords if ord not in self.tables.locked]
        rows = await self._connection.fetch(_SQL["lock_runs"], wanted) if wanted else []
        return self._note_runs(row[0] for row in rows)

    def _note_runs(self, ords: Iterable[int]) -> list[int]:
        locked = list(ords)
        self._note({Lock(LockClass.RUN, ord): True for ord in locked})
        for ord in locked:
            self._needs.want("run", ord)
            if ord not in self._known.statics:
                self._needs.want("static", ord)
        return locked

    # -- the operations -----------------------------------------------------------------------------------------------

    async def _work(self, limits: Limits, times: Times) -> Committed:
        for _ in range(_ROUNDS_MAX):
            with suppress(Incomplete):
                return self._noted(apply_batch(self.tables, self._ops, limits, times))
            explore(self.tables, self._ops, limits, times)
            await self._read_missing()
        raise RuntimeError(f"a batch of {len(self._ops)} operations never has what it asks for: {self._needs}")

    async def _read_missing(self) -> None:
        tables, missing = self.tables, self.tables.missing
        tables.undo.clear()
        tables.missing = Needs()
        self._needs.merge(missing)
        self._extra.merge(missing)
        while True:
            for id in missing.keys_of("id"):
                self._want_named(id)
            self._want_runs([*missing.keys_of("run"), *tables.found_runs])
            self._want_fronts()
            unknown = self._unread(self._needs.of(*_RUNS, *_FRONTS))
            if not unknown:
                break
            await self._load(unknown)
        self._extra.merge(self._needs.of("run", "key", *_FRONTS))
        await self._take(locks.locks_of(self._needs))
        self._uncover(_LISTS)
        await self._load(self._needs)
        await self._lock_found()

    def _noted(self, committed: Committed) -> Committed:
        """Look again at what others had locked."""
        notices, tables = committed.notices, self.tables
        notices.queued.update(tables.claimable)
        if (tables.due_rows or tables.due_waits) and notices.next_due_at_ms is not None:
            notices.next_due_at_ms = max(notices.next_due_at_ms, self._known.clock.wall_ms() + _SKIPPED_MS)
        return committed

    def _doubted(self) -> Needs:
        """What was taken for new is there already, or has changed: it is read the next time."""
        tables = self.tables
        needs = Needs(self._extra)
        for run in tables.new_runs.values():
            needs.want("new", run.id)
        for event in tables.new_events:
            needs.want("accepted", event)
        return needs

    # -- locks and reading --------------------------------------------------------------------------------------------

    async def _take(self, wanted: Locks) -> None:
        new = locks.lacking(wanted, self._held)
        if not locks.is_in_order(new, self._held):
            self._extra.merge(self._needs)
            raise Restart(self._extra)
        if new or not self._is_open:
            begin = [] if self._is_open else ["BEGIN"]
            await self._connection.execute("; ".join([*begin, *locks.statements(new)]))
            self._is_open = True
        self._note(new)

    def _note(self, new: Locks) -> None:
        self._held.update(new)
        self.tables.locked.update(lock.number for lock in new if lock.kind is LockClass.RUN)
        if items := {lock for lock in new if lock.kind in (LockClass.ITEM, LockClass.FLOW_KEY)}:
            self.tables.locked_items |= items
            self._uncover(("ripe",))

    async def _load(self, needs: Needs) -> None:
        wanted = self._unread(needs)
        asked = loading.questions(wanted, self.tables)
        if asked:
            text, parameters = loading.compose(asked)
            asked_ms = self._known.clock.monotonic_ms()
            row = await self._connection.fetchrow(text, *parameters)
            assert row is not None
            answers = loading.take(asked, tuple(row))
            self._known.clock.note(answers.clock_ms, asked_ms, self._known.clock.monotonic_ms())
            if answers.catalog != self._known.apps.version:
                await self._load_apps()
        self.tables.undo.clear()
        self.tables.covered.update(wanted)

    async def _load_apps(self) -> None:
        row = await self._connection.fetchrow(_SQL["apps"])
        assert row is not None
        apps = [unpack_app(manifest) for manifest in row[1] or ()]
        limits = limits_of(Item(*item) for item in row[3] or ())
        self._known.apps.learn(row[0], {app.name: app for app in apps}, row[2] or (), limits)

    def _unread(self, needs: Needs) -> Needs:
        covered = self.tables.covered
        return Needs({need: limit for need, limit in needs.items() if covered.get(need, -1) < limit})

    def _uncover(self, kinds: Sequence[Kind]) -> None:
        for need in [need for need in self.tables.covered if need.kind in kinds]:
            del self.tables.covered[need]

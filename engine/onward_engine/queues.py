"""The queues of functions as people see them: how much waits, for what, and how many workers it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from onward_protocol.messages import AppManifest, FunctionManifest

from .catalogue import Catalogue
from .clock import Clock
from .loads import ALL, Loads
from .rules.flow import names
from .rules.flow.facts import Backlog, Holders, Line
from .rules.flow.keys import CONCURRENCY, THROTTLE
from .rules.flow.limits import adjustable
from .store.port import LIMIT_LOG, LimitChange, Store
from .store.work.limits import changes_of

COUNTED_AT_ONCE = 5
"""Queues that are counted in one reading: long ones take 50 ms each, and others want to read as well."""

SLOTS_USUAL = 100
"""Slots of a worker, where none is connected that could tell."""


FAIR = "fair"


class Option(Struct, frozen=True):
    """A limit of a function that can be set while it runs: the one in force, what its code says, what somebody has set
    (None: nobody has), and the newest changes of that.
    """

    option: str
    limit: int
    declared: int
    override: int | None
    changes: tuple[LimitChange, ...] = ()


class Queue(Struct, frozen=True):
    """A function's queue."""

    app: str
    function: FunctionManifest
    is_paused: bool
    backlog: tuple[Backlog, ...]

    @property
    def ready(self) -> Backlog | None:
        """Return what may be claimed; None if nothing may, or the function begins nothing."""
        found = next((one for one in self.backlog if one.state == "ready"), None)
        return None if self.is_paused else found


class Key(Struct, frozen=True):
    """A value of a limit's key for which runs of a function wait, or of the key by which they take turns. Of a throttle
    and of turns nobody holds a place.
    """

    line: Line
    option: str
    named: names.Named
    holders: Holders
    limit: int | None


class Scale(Struct, frozen=True):
    """How much there is to do, in runs, and how many workers it takes. `demand` is `backlog` and `running` together."""

    demand: int
    backlog: int
    running: int
    slots: int
    oldest_wait_ms: int
    desired: int


class Queues:
    """Reads what the store and the workers know."""

    def __init__(self, store: Store, catalogue: Catalogue, loads: Loads, clock: Clock) -> None:
        self._store = store
        self._catalogue = catalogue
        self._loads = loads
        self._clock = clock

    async def page(self, after: str, limit: int) -> list[Queue]:
        """Return the queues of the first functions behind an id, by id."""
        known = sorted((one for one in self._functions() if one[1].id > after), key=_id)
        return await self._queues(known[:limit])

    async def find(self, function: str) -> Queue | None:
        """Return the queue of a function; None if nobody has registered it."""
        found = await self._queues([one for one in self._functions() if one[1].id == function])
        return found[0] if found else None

    async def options(self, function: FunctionManifest) -> list[Option]:
        """Return the limits of a function that can be set."""
        declared = adjustable(function)
        if not declared:
            return []
        limits = await self._catalogue.limits()
        changes = {item.name: changes_of(item) for item in await self._store.items(LIMIT_LOG, function.id)}
        overrides = {option: limits.get((function.id, option)) for option in declared}
        return [
            Option(option, limit if override is None else override, limit, override, tuple(changes.get(option, ())))
            for option, limit in declared.items()
            for override in (overrides[option],)
        ]

    async def keys(self, function: FunctionManifest, after: str, limit: int) -> list[Key]:
        """Return the keys for which runs of a function wait, or by which they take turns, behind a key."""
        lines = await self._store.lines(function.id, after, limit)
        limits = {one.option: one.limit for one in await self.options(function)}
        waiting = [_key(function, line, await self._store.holders(line.key), limits) for line in lines]
        return sorted((*waiting, *await self._turns(function, after, limit)), key=_text)[:limit]

    async def _turns(self, function: FunctionManifest, after: str, limit: int) -> list[Key]:
        """Return the keys by which runs of a fair function take turns, called as if they were those of a limit."""
        if function.fair is None:
            return []
        prefix = f"{FAIR} {function.id} {function.fair.key}="
        if after > prefix and not after.startswith(prefix):
            return []
        shares = await self._store.shares(function.id, after.removeprefix(prefix) if after > prefix else "", limit)
        lines = [Line(prefix + one.key, one.waiting) for one in shares]
        return [Key(one, FAIR, names.name_of(one.key, function.fair.key), Holders(), None) for one in lines]

    async def scale(self, app: str) -> Scale:
        """Return how much there is to do for an app; for all if that is empty."""
        queues = await self._queues([one for one in self._functions() if not app or one[0].name == app])
        ready = [one for queue in queues if (one := queue.ready)]
        load = self._loads.of(app or ALL)
        backlog = sum(one.runs for one in ready)
        oldest_at_ms = min((one.oldest_at_ms for one in ready), default=None)
        return Scale(
            demand=backlog + load.busy,
            backlog=backlog,
            running=load.busy,
            slots=load.slots,
            oldest_wait_ms=0 if oldest_at_ms is None else max(0, self._clock.wall_ms() - oldest_at_ms),
            desired=_workers(backlog + load.busy, load.slots, load.workers),
        )

    async def _queues(self, functions: Sequence[tuple[AppManifest, FunctionManifest]]) -> list[Queue]:
        paused = await self._catalogue.paused()
        backlog: dict[str, list[Backlog]] = {}
        for begin in range(0, len(functions), COUNTED_AT_ONCE):
            some = [function.id for _, function in functions[begin : begin + COUNTED_AT_ONCE]]
            backlog |= await self._store.backlog(some)
        return [
            Queue(app.name, function, function.id in paused, tuple(backlog.get(function.id, ())))
            for app, function in functions
        ]

    def _functions(self) -> Iterable[tuple[AppManifest, FunctionManifest]]:
        return ((app, function) for app in self._catalogue.apps for function in app.functions)


def _key(function: FunctionManifest, line: Line, holders: Holders, limits: dict[str, int]) -> Key:
    """Find the option that a key is of: the one whose expression stands in it."""
    kind = line.key.partition(" ")[0]
    known = [option for option in (*limits, kind) if option.partition(":")[0] == kind]
    for option in known:
        named = names.name_of(line.key, names.expression_of(function, option))
        if named.expression == names.expression_of(function, option) and _fits(function, option, named.scope):
            return Key(line, option, named, holders, limits.get(option, None if kind in (CONCURRENCY, THROTTLE) else 1))
    return Key(line, kind, names.name_of(line.key), holders, None)


def _fits(function: FunctionManifest, option: str, scope: str) -> bool:
    kind, _, index = option.partition(":")
    return kind != CONCURRENCY or (bool(index) and function.concurrency[int(index)].scope == scope)


def _workers(demand: int, slots: int, workers: int) -> int:
    per_worker = slots / workers if workers and slots else SLOTS_USUAL
    return -int(-demand // per_worker)


def _text(one: Key) -> str:
    return one.line.key


def _id(one: tuple[AppManifest, FunctionManifest]) -> str:
    return one[1].id

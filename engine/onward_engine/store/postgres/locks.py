"""Locks of a transaction: which ones its needs take, and in which order.

All of them are taken in one order, so that replicas wait for each other in a line and never in a circle. Names that
have no row of their own are locked by a number from 0 to 255 within their class: a lock for each name would fill the
server's table of locks. `Lock.number` of a run is its `ord`, and the lock is that on its row of `live`.

An event wait is opened under the exclusive lock of its event's name, an event is stored under the shared one. So
neither can miss the other because it is not committed yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple
from zlib import crc32

from .needs import OF_KEYS, Kind, Need

_BUCKETS = 256
_CLASS = 0x4F6E7700  # "Onw": other programs on this database have classes of their own


class LockClass(IntEnum):
    """In the order in which locks are taken."""

    SESSION = 0
    REPLICA = 1
    DUTY = 2
    ITEM = 3
    EVENT = 4
    FLOW_KEY = 5
    RUN = 6


class Lock(NamedTuple):
    """Sorts in the order in which locks are taken."""

    kind: LockClass
    number: int


Locks = dict[Lock, bool]
"""Whether each is exclusive."""

_NAMED: dict[Kind, tuple[LockClass, bool]] = {
    "session": (LockClass.SESSION, False),
    "enter": (LockClass.SESSION, True),
    "replica": (LockClass.REPLICA, False),
    "leave": (LockClass.REPLICA, True),
    "duty": (LockClass.DUTY, True),
    "apps": (LockClass.DUTY, True),
    "paths": (LockClass.EVENT, False),
    "opens": (LockClass.EVENT, True),
    "key": (LockClass.FLOW_KEY, True),
}
_ADVISORY = (
    "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(class, n) ELSE pg_advisory_xact_lock_shared(class, n) END "
    "FROM unnest('{{{classes}}}'::int[], '{{{numbers}}}'::int[], '{{{alone}}}'::bool[]) AS lock (class, n, alone)"
)
_ROWS = "SELECT FROM live WHERE ord = ANY('{{{ords}}}'::bigint[]) ORDER BY ord FOR UPDATE"

_OF_RUN: frozenset[Kind] = frozenset({"run", "waits", "some_wait"})
_OF_RUN_AND: frozenset[Kind] = frozenset({"wait", "entries"})
_OF_NAMES: frozenset[Kind] = frozenset({"ranks", "offers"})
_OF_ITEMS: frozenset[Kind] = frozenset({"item", "items", "keep"})


def locks_of(needs: Iterable[Need]) -> Locks:
    """Return the locks under which these are read."""
    locks: Locks = {}
    for kind, key in needs:
        if kind in _OF_RUN:
            locks[Lock(LockClass.RUN, key)] = True
        elif kind in _OF_RUN_AND:
            locks[Lock(LockClass.RUN, key[0])] = True
        elif kind in _OF_ITEMS:
            lock, is_alone = of_items(key[0], key[1])
            locks[lock] = is_alone or kind == "keep" or locks.get(lock, False)
        elif kind in _OF_NAMES:
            locks[Lock(LockClass.FLOW_KEY, number(key[0]))] = True
        elif kind in _NAMED:
            klass, is_exclusive = _NAMED[kind]
            lock = Lock(klass, number(key))
            locks[lock] = is_exclusive or locks.get(lock, False)
    return locks


def of_items(kind: str, owner: str) -> tuple[Lock, bool]:
    """Return the lock of items of a kind that somebody owns, and whether it is always exclusive."""
    if kind in OF_KEYS:
        return Lock(LockClass.FLOW_KEY, number(owner)), True
    return Lock(LockClass.ITEM, number((kind, owner))), False


def lacking(wanted: Locks, held: Locks) -> Locks:
    """Return what has to be taken in addition."""
    return {lock: alone for lock, alone in wanted.items() if lock not in held or (alone and not held[lock])}


def is_in_order(new: Locks, held: Locks) -> bool:
    """Tell whether these may be taken behind those."""
    return not held or not new or min(new) > max(held)


def statements(locks: Locks) -> list[str]:
    """Return what takes these locks, in their order. There is nothing but numbers in it."""
    named = sorted(lock for lock in locks if lock.kind is not LockClass.RUN)
    runs = sorted(lock.number for lock in locks if lock.kind is LockClass.RUN)
    parts: list[str] = []
    if named:
        classes = ",".join(str(_CLASS + lock.kind) for lock in named)
        numbers = ",".join(str(lock.number) for lock in named)
        alone = ",".join("t" if locks[lock] else "f" for lock in named)
        parts.append(_ADVISORY.format(classes=classes, numbers=numbers, alone=alone))
    if runs:
        parts.append(_ROWS.format(ords=",".join(map(str, runs))))
    return parts


def number(name: object) -> int:
    """Return the number by which a name is locked within its class."""
    return crc32(str(name).encode("utf-8", "surrogatepass")) % _BUCKETS

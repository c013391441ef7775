"""What a batch reads, as values: named before it begins as far as its operations tell, found out on the way where not.

id       run id          its row of `run`; probably there, so that it is looked up before the locks are taken
new      run id          the same of a run that is probably not there
static   ord             its row of `run`
run      ord             what changes about it, its queue row and its places; LOCKED
key      flow key        its places, and the first of each function in line; LOCKED
offers   (flow key, function)  the first of the function's offered places, by rank; LOCKED by the key
front    flow key        what never changes about these, before anything is locked; `ahead`: of the first of a function
lines    (function, after)  the keys in whose lines its runs stand
ranks    (function, fair key)  the last of those with this fair key, with "" the first of all; LOCKED by the function
paths    event name      under which paths waits for it stand; LOCKED against new waits for it
opens    event name      nothing; LOCKED against everybody else's events of that name
at       address         the waits there
wait     (ord, key)      one wait; `waits`: all of a run, `some_wait`: whether there is one
entries  (ord, pos)      engine entries above pos; above what is marked for pos -1
journal, payload, tags   of a run, by ord; `made_of`: the ids of its events alone
event, accepted, answer, joined  by event id
back     (name, after, since)   events to look back to
head     function        the first that may be claimed; `later`, `due`: queue rows and waits that are due, by now_ms
item     (kind, owner, name)  one item; `items`: all of (kind, owner); both LOCKED against who changes those
keep     (kind, owner)   nothing; LOCKED against everybody else who reads or changes items of that kind and owner.
                         What flow keys own is LOCKED as these are
ripe     now_ms          items that are due
next     ()              when something is due next
held     holder          its runs; HELD_BY_ANY for those of all
session, replica, duty   LOCKED; `enter`, `leave` and `duty` against everybody, the others against those
sessions_at, replicas    by replica; all
ended, kept              runs that are over and events behind an ord
apps     ()              LOCKED, because they are to be changed
numbers  ()              numbers in the order of acceptance
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "id", "new", "static", "run", "key", "paths", "opens", "at", "wait", "waits", "some_wait", "entries", "journal",
    "payload", "event", "accepted", "answer", "back", "head", "later", "due", "next", "held", "session", "enter",
    "replica", "leave", "replicas", "duty", "sessions_at", "ended", "kept", "apps", "numbers",
    "item", "items", "keep", "ripe", "tags", "made_of", "front", "ahead", "lines", "ranks", "joined", "offers",
]  # fmt: skip

OF_KEYS = frozenset({"throttle", "line"})
"""Kinds of items that flow keys own."""

RANKS = 16
"""Rows of a function or a fair key that are read first."""

HELD_BY_ANY = ""
ALL = 2**62
"""A limit that nothing reaches: the whole list is there."""


class Need(NamedTuple):
    """One thing that is read; `key` is what the list above says."""

    kind: Kind
    key: Any


class Needs(dict[Need, int]):
    """Needs, and of lists how many rows at least."""

    def want(self, kind: Kind, key: object, limit: int = 0) -> None:
        """Add one."""
        need = Need(kind, key)
        if limit > self.get(need, -1):
            self[need] = limit

    def merge(self, other: Needs) -> None:
        """Want what the other wants as well."""
        for need, limit in other.items():
            if limit > self.get(need, -1):
                self[need] = limit

    def of(self, *kinds: Kind) -> Needs:
        """Return those of some kinds."""
        return Needs({need: limit for need, limit in self.items() if need.kind in kinds})

    def keys_of(self, kind: Kind) -> Iterable[Any]:
        """Return what is wanted of a kind."""
        return [need.key for need in self if need.kind == kind]

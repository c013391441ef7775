"""The workers that may be given work, found by who they are, by what they can run, and by what they wait for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onward_protocol.errors import CloseCode

from .connection import Connection
from .store.port import Notices

COMPARED = 32
"""How many workers with room are compared for a function, so that dispatch costs the same with 10,000 of them."""


class Connections:
    """The newest connection of every worker."""

    def __init__(self) -> None:
        self._newest: dict[str, Connection] = {}
        self._serving: dict[str, dict[Connection, None]] = {}
        self._versions: dict[str, Counter[str]] = {}  # how many serve a function, by the version of its App
        self._roomy: dict[str, dict[Connection, None]] = {}  # those that may have room, longest not chosen first
        self._wanting: dict[Connection, None] = {}
        self._unflushed: dict[Connection, None] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._newest.values()))

    def __len__(self) -> int:
        return len(self._newest)

    def add(self, connection: Connection) -> None:
        """Make it the newest connection of its worker."""
        connection.is_newest = True
        connection.unflushed = self._unflushed
        self._newest[connection.instance] = connection
        for function in connection.functions:
            self._serving.setdefault(function, {})[connection] = None
            self._versions.setdefault(function, Counter())[connection.versions[function]] += 1
        self.freed(connection)

    def freed(self, connection: Connection) -> None:
        """Note that this worker may have free slots again. Whatever may raise its `free` has to say so."""
        if connection.is_newest:
            for function in connection.functions:
                self._roomy.setdefault(function, {})[connection] = None

    def remove(self, connection: Connection) -> None:
        """Give it no more work. May be repeated."""
        connection.is_newest = False
        if self._newest.get(connection.instance) is connection:
            del self._newest[connection.instance]
        for function in connection.functions:
            serving = self._serving.get(function)
            if serving is not None:
                if connection in serving:
                    self._count_out(function, connection.versions[function])
                serving.pop(connection, None)
                self._roomy[function].pop(connection, None)
                if not serving:
                    del self._serving[function], self._roomy[function]
        self._wanting.pop(connection, None)

    def _count_out(self, function: str, version: str) -> None:
        counts = self._versions[function]
        counts[version] -= 1
        if not counts[version]:
            del counts[version]
        if not counts:
            del self._versions[function]

    def rivals(self, function: str, version: str) -> tuple[str, ...]:
        """Return the other versions of a function that workers here have."""
        return tuple(sorted(other for other in self._versions.get(function, ()) if other not in ("", version)))

    def freest_with(self, function: str, version: str) -> Connection | None:
        """Return who has the most free slots of those that have this version of a function; None if nobody has one."""
        serving = self._serving.get(function, {})
        roomy = [one for one in serving if one.versions[function] == version and one.free > 0]
        found = [one for one in roomy if not one.is_left_alone]
        return min(found, key=lambda one: (-one.free, one.instance), default=None)

    def serving(self, function: str) -> list[Connection]:
        """Return those that can run a function."""
        return list(self._serving.get(function, ()))

    @property
    def functions(self) -> set[str]:
        """Return what the workers that are connected here can run."""
        return set(self._serving)

    def supersede(self, instance: str, generation: int) -> None:
        """End the connection of a worker that has begun a newer one, wherever that is. May be repeated."""
        connection = self._newest.get(instance)
        if connection is not None and connection.generation < generation:
            self.remove(connection)
            connection.end(CloseCode.SUPERSEDED)

    def newest(self, instance: str) -> Connection | None:
        """Return the connection of this worker."""
        return self._newest.get(instance)

    def of(self, instance: str, generation: int) -> Connection | None:
        """Return the connection of this worker if it is still of this generation."""
        connection = self._newest.get(instance)
        return connection if connection is not None and connection.generation == generation else None

    def freest(self, functions: set[str]) -> Connection | None:
        """Return who has the most free slots of those that have any of these functions; None if nobody has one.

        Of many, those are compared that were not chosen for the longest time.
        """
        best: Connection | None = None
        for function in functions:
            for connection in self._with_room(function):
                if best is None or _is_better(connection, best):
                    best = connection
        if best is not None:
            self._to_the_end(best, functions)
        return best

    def _with_room(self, function: str) -> list[Connection]:
        """Return the first ones with room, and forget until `freed` those before them that have none."""
        found: list[Connection] = []
        full: list[Connection] = []
        roomy = self._roomy.get(function, {})
        for connection in roomy:
            has_room = connection.free > 0 and not connection.is_left_alone
            (found if has_room else full).append(connection)
            if len(found) == COMPARED:
                break
        for connection in full:
            del roomy[connection]
        return found

    def _to_the_end(self, connection: Connection, functions: set[str]) -> None:
        for function in functions & connection.functions:
            roomy = self._roomy[function]
            roomy.pop(connection, None)
            roomy[connection] = None

    def wants(self, connection: Connection) -> None:
        """Note that runs parked there are ready."""
        self._wanting[connection] = None

    def wanting(self) -> list[Connection]:
        """Return the connections with ready runs, longest noted first."""
        self._wanting = {connection: None for connection in self._wanting if connection.ready}
        return list(self._wanting)

    def flush(self, _: Notices | None = None) -> None:
        """Write everything that was sent since the last time: after a commit, each worker gets one message."""
        while self._unflushed:
            connection, _none = self._unflushed.popitem()
            connection.flush()


def _is_better(one: Connection, other: Connection) -> bool:
    # Sets of functions iterate in any order; a tie must not be decided by it.
    return one.free > other.free or (one.free == other.free and one.instance < other.instance)

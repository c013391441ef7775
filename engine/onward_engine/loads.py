"""How busy the connected workers are: those of this engine, and those of others as far as these tell of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from onward_protocol.messages import AppManifest

from .clock import Clock
from .connection import Connection
from .connections import Connections
from .model import Run
from .news import Loaded
from .rules.flow.known import Crew

HEARD_MS = 10_000
"""What another engine has told counts for so long: it does so five times as often."""

ALL = ""
"""The name under which all workers of an engine are counted, whatever they have."""


class Loads:
    """What workers have to do. `replica` is this engine."""

    def __init__(self, connections: Connections, clock: Clock, replica: str) -> None:
        self._connections = connections
        self._clock = clock
        self._replica = replica
        self._heard: dict[tuple[str, str], tuple[int, Loaded]] = {}

    def own(self) -> list[Loaded]:
        """Return what is to be told to others: of each app, of each function with labels, and of all together."""
        found: dict[str, Loaded] = {}
        for connection in self._connections:
            one = _load(self._replica, connection)
            for name in {ALL, *_names(connection)}:
                found[name] = _sum(name, (found.get(name, Loaded(self._replica, name)), one))
        return list(found.values())

    def hear(self, loaded: Loaded) -> None:
        """Note what another engine tells."""
        self._heard[loaded.replica, loaded.name] = self._clock.monotonic_ms(), loaded

    def of(self, name: str) -> Loaded:
        """Return the load of an app, or of `ALL`, over all engines."""
        mine = (_load(self._replica, one) for one in self._connections if name == ALL or name in _apps(one))
        return _sum(name, chain(mine, self._others(name)))

    def crew(self, run: Run, labels: dict[str, str]) -> Crew:
        """Return the workers that could have a run of a function with these labels."""
        others = _sum(run.function, self._others(run.function if labels else run.function.partition("/")[0]))
        able = self._connections.serving(run.function)
        same = [one for one in able if run.version and one.versions[run.function] == run.version]
        return Crew(
            workers=len(able) + others.workers,
            free=_free(able) + others.free,
            same_version=len(same),
            same_version_free=_free(same),
            unlabelled=0 if able else sum(run.function in one.versions for one in self._connections),
        )

    def _others(self, name: str) -> list[Loaded]:
        """Return what others have told of a name, and forget what is too old."""
        oldest_ms = self._clock.monotonic_ms() - HEARD_MS
        self._heard = {key: (at_ms, one) for key, (at_ms, one) in self._heard.items() if at_ms >= oldest_ms}
        return [one for _, one in self._heard.values() if one.name == name]


def _load(replica: str, connection: Connection) -> Loaded:
    hello, session = connection.session.hello, connection.session
    slots = hello.slots if hello and session.may_assign else 0
    if slots:
        return Loaded(replica, "", 1, slots, slots - session.credit, _free([connection]))
    return Loaded(replica, "", busy=sum(held.state == "running" for held in session.mirror.holdings))


def _sum(name: str, loads: Iterable[Loaded]) -> Loaded:
    total = Loaded("", name)
    for one in loads:
        replica = total.replica or one.replica
        workers, slots = total.workers + one.workers, total.slots + one.slots
        total = Loaded(replica, name, workers, slots, total.busy + one.busy, total.free + one.free)
    return total


def _free(connections: Iterable[Connection]) -> int:
    """Slots that a claim in the commit queue may fill are free until it does: mostly it finds nothing."""
    return sum(one.session.credit for one in connections if not one.is_left_alone and not one.is_guarded)


def _names(connection: Connection) -> set[str]:
    apps: tuple[AppManifest, ...] = connection.session.hello.apps if connection.session.hello else ()
    labelled = {one.id for app in apps for one in app.functions if one.labels and one.id in connection.functions}
    return {app.name for app in apps} | labelled


def _apps(connection: Connection) -> set[str]:
    return {app.name for app in connection.session.hello.apps} if connection.session.hello else set()

"""Second connections, of processes that watch over a worker: they keep its runs while it stands still, and tell when it
is dead.

    Hello(guard) -> is it its guard? its runs wait for it -> one commit -> Welcome
    Beat         -> the worker's own connection is not given up for its silence
    Bye, the end -> nobody speaks for the worker any more: its runs wait for it as long as anybody's

A guard has no runs, so its own end hands on nothing. The reservation is in the store, because the worker's connection
may be lost meanwhile, or be at another replica.
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

import structlog
from onward_protocol.messages import Beat, Bye, Hello
from onward_protocol.session import FromWorker
from onward_protocol.states import Phase

from .clock import Clock
from .commit import Committer, ignore
from .connection import Connection
from .connections import Connections
from .dispatch import Dispatch
from .settings import Settings
from .store.port import Denied, Guard, Rejected

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.gateway")

ENGINE = f"onward {version('onward')}"


class Guards:
    """All guards that are connected here."""

    def __init__(
        self, committer: Committer, connections: Connections, dispatch: Dispatch, clock: Clock, settings: Settings
    ) -> None:
        self._committer = committer
        self._connections = connections
        self._dispatch = dispatch
        self._clock = clock
        self._times = settings.times
        self._accepted: dict[Connection, Hello] = {}
        self._past_ms = 0
        self.ended: dict[str, int] = {"recovered": 0, "given_up": 0, "died": 0}
        """How often a guard has gone, by what had become of its worker."""

    @property
    def open(self) -> int:
        """Return how many guards are connected."""
        return len(self._accepted)

    @property
    def guarded_ms(self) -> int:
        """Return for how long guards have been connected, added up."""
        return self._past_ms + sum(map(self._age_ms, self._accepted))

    def use(self, guard: Connection, frame: FromWorker) -> None:
        """Use a frame of a guard's connection."""
        match frame:
            case Hello():
                self._greet(guard, frame)
            case Beat():
                self._spare(guard)
            case Bye():
                self._bye(guard, frame)
            case _:
                raise AssertionError("its session lets nothing else pass")

    def gone(self, guard: Connection) -> None:
        """Note the end of a guard's connection. Its worker has moved again, or its machine is gone."""
        hello = self._dismiss(guard, "recovered")
        if hello is not None:
            if not self._is_guarded(hello.instance):  # by a newer connection of its guard
                self._committer.submit(self._op(hello, self._times.grace_ms), ignore)
            self._release(guard)
            _log.info("guard disconnected", worker=guard.instance, reason=guard.fault)

    def _greet(self, guard: Connection, hello: Hello) -> None:
        guard.instance = hello.instance
        self._committer.submit(self._op(hello, self._times.stall_max_ms), partial(self._greeted, guard, hello))

    def _greeted(self, guard: Connection, hello: Hello, outcome: Denied | Rejected | None) -> None:
        if guard.over.done() or guard.session.phase is not Phase.GREETED:
            return
        if outcome is not None:
            _log.warning("guard refused", worker=hello.instance, peer=guard.transport.peer, reason=outcome.message)
            guard.session.refuse(outcome.code, outcome.message)
        else:
            self._accepted[guard] = hello
            time_ms = self._clock.wall_ms()
            guard.session.welcome(hello.session, hello.generation, engine=ENGINE, time_ms=time_ms)
            self._spare(guard)
            _log.warning("worker stands still", worker=hello.instance, peer=guard.transport.peer)
        guard.flush()

    def _spare(self, guard: Connection) -> None:
        """The worker lives, but takes nothing now."""
        worker = self._connections.newest(guard.instance)
        if worker is not None and guard in self._accepted:
            worker.is_guarded = True
            worker.forgive()

    def _release(self, guard: Connection) -> None:
        worker = self._connections.newest(guard.instance)
        if worker is not None:
            worker.is_guarded = self._is_guarded(guard.instance)
            worker.forgive()  # what it says now is on its way
            self._dispatch.freed(worker)

    def _is_guarded(self, instance: str) -> bool:
        return any(guard.instance == instance for guard in self._accepted)

    def _bye(self, guard: Connection, bye: Bye) -> None:
        """The process is dead, or has stood still for too long: others go on with its runs at once."""
        hello = self._dismiss(guard, "given_up" if bye.exit_status is None else "died")
        if hello is None:
            return
        _log.error("worker lost", worker=hello.instance, reason=bye.reason, exit_status=bye.exit_status)
        self._committer.submit(self._op(hello, 0, is_over=True), ignore)
        worker = self._connections.newest(hello.instance)
        if worker is not None:
            worker.fault = f"its guard says: {bye.reason}"
            worker.transport.abort()

    def _dismiss(self, guard: Connection, end: str) -> Hello | None:
        hello = self._accepted.pop(guard, None)
        if hello is not None:
            self._past_ms += self._age_ms(guard)
            self.ended[end] += 1
        return hello

    def _age_ms(self, guard: Connection) -> int:
        return self._clock.wall_ms() - guard.connected_at_ms

    def _op(self, hello: Hello, delay_ms: int, *, is_over: bool = False) -> Guard:
        now_ms = self._clock.wall_ms()
        return Guard(
            now_ms=now_ms,
            instance=hello.instance,
            session=hello.session,
            claimable_at_ms=now_ms + delay_ms,
            is_over=is_over,
        )

"""Where workers come in. A connection's life, from its Hello to the handing on of what it held.

A frame that arrives is handed over at once and waits for nothing. What was received before an end is in the commit
queue before the end is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

import structlog
from onward_protocol.errors import CloseCode
from onward_protocol.holdings import Difference
from onward_protocol.limits import SUBPROTOCOL
from onward_protocol.messages import Beat, Bye, Checkpoint, Drain, Hello, Log, Return, Stream
from onward_protocol.session import FromWorker
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .clock import Clock
from .commit import Committer, ignore
from .connection import Connection, Transport
from .connections import Connections
from .dispatch import Dispatch
from .greeting import Greeter
from .guards import Guards
from .problem import Problem
from .progress import Progress
from .settings import Settings
from .sockets import socket_of
from .store.port import Confirm, Orphan

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.gateway")


class Gateway:
    """All connections of this engine."""

    def __init__(
        self,
        *,
        committer: Committer,
        dispatch: Dispatch,
        progress: Progress,
        connections: Connections,
        greeter: Greeter,
        guards: Guards,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._committer = committer
        self._dispatch = dispatch
        self._progress = progress
        self._connections = connections
        self._greeter = greeter
        self._guards = guards
        self._clock = clock
        self._settings = settings
        self.may_renew: Callable[[], bool] = lambda: True
        """Whether a beat renews its worker's lease: as long as nobody else can have been given its runs."""
        self._open: dict[Connection, None] = {}
        self._is_leaving = False

    # -- for servers ---------------------------------------------------------------------------------------------------

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket that may come in; returns when it has ended."""
        socket = WebSocket(scope, receive, send)
        if problem := self._problem(scope):
            await socket.send_denial_response(problem.response())
            return
        await socket.accept(subprotocol=SUBPROTOCOL)
        await self.attach(socket_of(scope)).over

    def attach(self, transport: Transport) -> Connection:
        """Serve one connection from now on, whatever carries it; its `over` is done when it has ended."""
        connection = Connection(
            transport, self._clock, self._settings, use=self._use, ended=self._gone, may_renew=self._may_renew
        )
        self._open[connection] = None
        connection.open()
        return connection

    def leave(self, reconnect_after_ms: int) -> None:
        """Assign nothing from now on, and tell the workers to look for the next engine."""
        self._is_leaving = True
        for connection in self._connections:
            connection.go_away(reconnect_after_ms)
        self._connections.flush()

    def send_on(self) -> None:
        """Have all workers open their next connection, here or elsewhere. May be repeated."""
        for connection in self._connections:
            connection.go_away(0)
        self._connections.flush()

    async def emptied(self, patience_ms: int) -> None:
        """Return when no worker is connected any more, or after `patience_ms`."""
        if self._open:
            await asyncio.wait([connection.over for connection in self._open], timeout=patience_ms / 1000)

    async def close(self) -> None:
        """End all connections once what is queued for them is written, or after `close_ms`."""
        self._is_leaving = True
        for connection in list(self._open):
            connection.end(CloseCode.GOING_AWAY)
        await self.emptied(self._settings.times.close_ms)
        for connection in list(self._open):
            connection.transport.abort()

    # -- one connection ------------------------------------------------------------------------------------------------

    def _may_renew(self) -> bool:
        return self.may_renew()

    def _use(self, connection: Connection, frame: FromWorker) -> None:
        if connection.session.is_guard:
            self._guards.use(connection, frame)
        else:
            self._use_worker(connection, frame)

    def _use_worker(self, connection: Connection, frame: FromWorker) -> None:
        match frame:
            case Checkpoint():
                self._progress.checkpoint(connection, frame)
            case Beat():
                self._beat(connection, frame)
            case Return():
                self._progress.returned(connection, frame)
            case Hello():
                self._greeter.greet(connection, frame)
            case Difference():
                self._greeter.reconcile(connection, frame)
            case Drain():
                self._drain(connection, frame)
            case Bye():
                self._bye(connection, frame)
            case Stream() | Log():
                pass  # nobody listens to them yet
            case _:
                assert_never(frame)
        if self._committer.is_full and connection.uncommitted_bytes > self._settings.bounds.allowance_bytes:
            self._hold(connection)

    def _hold(self, connection: Connection) -> None:
        """Read no more from it until the store has caught up."""
        if not connection.is_paused:
            connection.pause()
            self._committer.when_room(connection.resume)

    def _beat(self, connection: Connection, beat: Beat) -> None:
        if connection.vitals is None:
            op = Confirm(self._clock.wall_ms(), connection.instance, connection.generation)
            self._committer.submit(op, ignore)
        connection.vitals = beat
        if connection.free > 0:
            self._dispatch.freed(connection)

    def _drain(self, connection: Connection, drain: Drain) -> None:
        if drain.reason == "rotate":
            connection.go_away(0)
            connection.flush()

    # -- going out -----------------------------------------------------------------------------------------------------

    def _bye(self, connection: Connection, bye: Bye) -> None:
        unfinished = tuple((ref.run, ref.epoch) for ref in bye.unfinished)
        self._orphan(connection, grace_ms=0, unfinished=unfinished)
        self._connections.remove(connection)

    def _gone(self, connection: Connection) -> None:
        del self._open[connection]
        if connection.session.is_guard:
            if not self._is_leaving:  # otherwise it comes back to the next engine
                self._guards.gone(connection)
            return
        if not connection.generation:
            if connection.fault:
                _log.warning("connection closed", peer=connection.transport.peer, reason=connection.fault)
            return
        self._connections.remove(connection)
        if not self._is_leaving:
            self._orphan(connection, grace_ms=self._settings.times.grace_ms)
        _log.info(
            "worker disconnected",
            worker=connection.instance,
            generation=connection.generation,
            reason=connection.fault or _end_of(connection),
        )

    def _orphan(
        self, connection: Connection, grace_ms: int, unfinished: tuple[tuple[str, int], ...] | None = None
    ) -> None:
        now_ms = self._clock.wall_ms()
        op = Orphan(
            now_ms=now_ms,
            instance=connection.instance,
            generation=connection.generation,
            claimable_at_ms=now_ms + grace_ms,
            unfinished=unfinished,
        )
        self._committer.submit(op, ignore)

    def _problem(self, scope: Scope) -> Problem | None:
        if self._is_leaving:
            return Problem(503, "leaving", "This engine is stopping.", retry_after_s=1)
        if SUBPROTOCOL not in scope["subprotocols"]:
            return Problem(426, "subprotocol", f"Workers speak the WebSocket subprotocol {SUBPROTOCOL}.")
        return None


def _end_of(connection: Connection) -> str:
    code = connection.session.close_code
    return "connection lost" if code is None else CloseCode(code).name.lower()

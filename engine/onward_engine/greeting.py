"""What a worker says that it is and holds, answered by what the store knows: at its Hello, and whenever the two ends
differ.

    Hello -> register its apps, take back what it holds -> one commit -> Welcome, one Ack or Fence for each run
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

import structlog
from onward_protocol.errors import CloseCode
from onward_protocol.holdings import Difference
from onward_protocol.ids import name_problem
from onward_protocol.messages import Ack, AppManifest, Held, Hello, Wake

from .catalogue import Catalogue
from .clock import Clock
from .commit import BUSY, STORE_FULL, Committer, ignore
from .connection import Connection
from .connections import Connections
from .dispatch import Dispatch
from .sessions import Denied, Session, Sessions
from .store.port import GiveBack, Register, Rejected, Resume, Resumed

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.gateway")

ENGINE = f"onward {version('onward')}"
RETRY_AFTER_MS = 1_000
REGRESSED = "store_regressed"  # what the store says of a run whose acknowledged frames it does not have


class Greeter:
    """Takes workers in."""

    def __init__(
        self,
        *,
        committer: Committer,
        connections: Connections,
        sessions: Sessions,
        catalogue: Catalogue,
        dispatch: Dispatch,
        clock: Clock,
    ) -> None:
        self._committer = committer
        self._connections = connections
        self._sessions = sessions
        self._catalogue = catalogue
        self._dispatch = dispatch
        self._clock = clock

    def greet(self, connection: Connection, hello: Hello) -> None:
        """Answer a Hello, after the commit that takes back what the worker holds. The older connection ends now."""
        entered = self._enter(hello)
        if isinstance(entered, Denied):
            _refuse(connection, hello, entered.code, entered.message)
            return
        connection.begin(hello, entered.generation)
        older = self._connections.newest(hello.instance)
        if older is not None:
            self._connections.remove(older)
            older.end(CloseCode.SUPERSEDED)
        self._resume(connection, hello, entered.secret)

    def reconcile(self, connection: Connection, difference: Difference) -> None:
        """Heal what the two ends see differently. Only the runs in question are touched: others may be on their way."""
        _log.warning(
            "holdings differ",
            worker=connection.instance,
            lost=[held.run for held in difference.lost],
            strange=[held.run for held in difference.strange],
            changed=[held.run for _, held in difference.changed],
        )
        for lost in difference.lost:
            op = GiveBack(now_ms=self._clock.wall_ms(), run=lost.run, epoch=lost.epoch, reason="lost")
            self._committer.submit(op, ignore)
        asked = (*difference.strange, *(theirs for _, theirs in difference.changed))
        if asked:
            self._committer.submit(
                self._resume_op(connection, asked, is_whole=False), partial(_reconciled, connection, asked)
            )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _enter(self, hello: Hello) -> Session | Denied:
        if hello.role == "guard":
            return Denied("guard", "This engine takes no guard connections: a worker keeps its own lease.")
        if problem := name_problem(hello.instance):
            return Denied("instance", f"The instance id {problem}.")
        return self._sessions.enter(hello)

    def _resume(self, connection: Connection, hello: Hello, secret: str) -> None:
        rejections: list[Rejected] = []
        for app in hello.apps:
            if not self._catalogue.has(app):
                op = Register(now_ms=self._clock.wall_ms(), app=app)
                self._committer.submit(op, partial(self._registered, app, rejections))
        self._committer.submit(
            self._resume_op(connection, hello.held, is_whole=True),
            partial(self._resumed, connection, secret, rejections),
        )

    def _resume_op(self, connection: Connection, held: tuple[Held, ...], *, is_whole: bool) -> Resume:
        return Resume(
            now_ms=self._clock.wall_ms(),
            instance=connection.instance,
            generation=connection.generation,
            held=held,
            is_whole=is_whole,
        )

    def _registered(self, app: AppManifest, rejections: list[Rejected], outcome: Rejected | None) -> None:
        if outcome is None:
            self._catalogue.put(app)
        else:
            rejections.append(outcome)

    def _resumed(
        self,
        connection: Connection,
        secret: str,
        rejections: list[Rejected],
        outcome: tuple[Resumed, ...] | Rejected,
    ) -> None:
        """Welcome the worker while the commit is handed out: a Wake of the same commit must find its connection."""
        hello = connection.session.hello
        assert hello is not None, "only a Hello leads here"
        if self._is_over(connection):
            connection.end(CloseCode.SUPERSEDED)
        elif isinstance(outcome, Rejected):
            _refuse(connection, hello, outcome.code, outcome.message)
        elif rejections:
            _refuse(connection, hello, rejections[0].code, rejections[0].message)
        else:
            self._welcome(connection, hello, secret)
            for held, resumed in zip(hello.held, outcome, strict=True):
                _answer_held(connection, held, resumed)
            connection.flush()

    def _is_over(self, connection: Connection) -> bool:
        is_closing = connection.over.done() or connection.session.close_code is not None
        return is_closing or self._sessions.is_outdated(connection.instance, connection.generation)

    def _welcome(self, connection: Connection, hello: Hello, secret: str) -> None:
        connection.session.welcome(secret, connection.generation, engine=ENGINE, time_ms=self._clock.wall_ms())
        self._connections.add(connection)
        self._dispatch.expect(connection.functions)  # they may have waited for it since before this engine
        _log.info(
            "worker connected",
            worker=connection.instance,
            generation=connection.generation,
            peer=connection.transport.peer,
            apps=[app.name for app in hello.apps],
            held=len(hello.held),
        )


def _refuse(connection: Connection, hello: Hello, code: str, message: str) -> None:
    _log.warning("worker refused", worker=hello.instance, peer=connection.transport.peer, code=code, reason=message)
    connection.session.refuse(code, message, RETRY_AFTER_MS if code in (STORE_FULL, BUSY) else None)
    connection.flush()


def _reconciled(connection: Connection, asked: tuple[Held, ...], outcome: tuple[Resumed, ...] | Rejected) -> None:
    if not isinstance(outcome, Rejected):  # otherwise the next digest differs again
        for held, resumed in zip(asked, outcome, strict=True):
            _answer_held(connection, held, resumed)


def _answer_held(connection: Connection, held: Held, resumed: Resumed) -> None:
    """One Ack or Fence for a run that the worker says it holds, and the entries that it does not know."""
    if not resumed.owned:
        if resumed.reason == REGRESSED:
            _log.error("store regressed", worker=connection.instance, run=resumed.run, acked_seq=held.acked_seq)
        connection.fence(resumed.run, resumed.epoch, resumed.reason)
        return
    connection.send(Ack(resumed.run, resumed.epoch, resumed.seq, resend=True))
    if resumed.entries:
        connection.send(Wake(resumed.run, resumed.epoch, resumed.entries))

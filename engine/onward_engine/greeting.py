"""What a worker says that it is and holds, answered by what the store knows: at its Hello, and whenever the two ends
differ.

    Hello -> register its apps, number its connection, take back what it holds -> one commit
          -> Welcome, one Ack or Fence for each run
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

import structlog
from msgspec.structs import replace
from onward_protocol.holdings import Difference
from onward_protocol.ids import name_problem
from onward_protocol.messages import Ack, AppManifest, Held, Hello, Wake

from .catalogue import Catalogue
from .clock import Clock, Ids
from .commit import BUSY, STORE_FULL, Committer, ignore
from .connection import Connection
from .connections import Connections
from .dispatch import Dispatch
from .model import Session
from .rules import sessions
from .store.port import Denied, Enter, Entered, GiveBack, Orphan, Register, Rejected, Resume, Resumed

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
        catalogue: Catalogue,
        dispatch: Dispatch,
        clock: Clock,
        ids: Ids,
        grace_ms: int,
        callback_url: str = "",
    ) -> None:
        self._committer = committer
        self._connections = connections
        self._catalogue = catalogue
        self._dispatch = dispatch
        self._clock = clock
        self._ids = ids
        self._grace_ms = grace_ms
        self._callback_url = callback_url

    def greet(self, connection: Connection, hello: Hello) -> None:
        """Answer a Hello, after the commit that decides its number and takes back what the worker holds. An older
        connection ends now, if it is here: what is sent there from now on is not in the list that this Hello brings.
        """
        if problem := name_problem(hello.instance):
            _refuse(connection, hello, "instance", f"The instance id {problem}.")
            return
        older = self._connections.newest(hello.instance)
        if older is not None and _is_followed(older, hello):
            self._connections.supersede(hello.instance, older.generation + 1)
        rejections = self._register(hello)
        self._committer.submit(self._enter_op(hello), partial(self._entered, connection, hello, rejections))

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

    def _register(self, hello: Hello) -> list[Rejected]:
        """Register the apps that are new; return where the reasons will be if some cannot be."""
        rejections: list[Rejected] = []
        for app in hello.apps:
            if not self._catalogue.has(app):
                op = Register(now_ms=self._clock.wall_ms(), app=app)
                self._committer.submit(op, partial(self._registered, app, rejections))
        return rejections

    def _enter_op(self, hello: Hello) -> Enter:
        return Enter(
            now_ms=self._clock.wall_ms(),
            instance=hello.instance,
            session=hello.session,
            generation=hello.generation,
            secret=self._ids.secret(),
            replica=self._ids.replica,
            held=hello.held,
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

    def _entered(
        self, connection: Connection, hello: Hello, rejections: list[Rejected], outcome: Entered | Denied | Rejected
    ) -> None:
        """Welcome the worker while the commit is handed out: a Wake of the same commit must find its connection."""
        if isinstance(outcome, Entered):
            apps = tuple(self._catalogue.same(app) for app in hello.apps)
            connection.begin(replace(hello, apps=apps), outcome.generation)
            self._connections.supersede(hello.instance, outcome.generation)
        if connection.over.done():
            self._leave(connection)
        elif connection.session.close_code is not None:
            pass  # it ends, and hands on then what it holds
        elif not isinstance(outcome, Entered):
            _refuse(connection, hello, outcome.code, outcome.message)
        elif rejections:
            _refuse(connection, hello, rejections[0].code, rejections[0].message)
        else:
            self._welcome(connection, hello, outcome.secret)
            for held, resumed in zip(hello.held, outcome.resumed, strict=True):
                _answer_held(connection, held, resumed)
            connection.flush()

    def _leave(self, connection: Connection) -> None:
        """Hand on what a worker holds that went while it was greeted."""
        if not connection.generation:
            return
        now_ms = self._clock.wall_ms()
        op = Orphan(now_ms, connection.instance, connection.generation, now_ms + self._grace_ms)
        self._committer.submit(op, ignore)

    def _welcome(self, connection: Connection, hello: Hello, secret: str) -> None:
        connection.session.welcome(
            secret,
            connection.generation,
            engine=ENGINE,
            time_ms=self._clock.wall_ms(),
            callback_url=self._callback_url,
        )
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


def _is_followed(older: Connection, hello: Hello) -> bool:
    """Tell whether a Hello is of the process at the other end of a connection that is open, and made behind it.

    The store decides the same; but until then the older connection must get nothing.
    """
    first = older.session.hello
    assert first is not None, "it was welcomed"
    confirmed = older.generation if older.vitals else first.generation
    known = Session(older.instance, older.session.session_id, older.generation, confirmed)
    return sessions.denial(known, hello.session, hello.generation) is None


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

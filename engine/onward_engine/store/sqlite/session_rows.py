"""Worker processes, and the engines that they are connected to.

Sessions are kept in memory as well, because every claim asks for one: this process is the only one that writes.
"""

from __future__ import annotations

from msgspec.structs import astuple

from ...model import Replica, Session
from .rows import Db, Row
from .statements import statements

_SQL = statements("sessions")
_KEPT_MAX = 20_000  # about 0.5 KB each


class SessionRows:
    """Sessions by instance and by replica, replicas by id."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._sessions: dict[str, Session] = {}

    def session(self, instance: str) -> Session | None:
        found = self._sessions.get(instance)
        if found is None and (row := self._db.execute(_SQL["session"], (instance,)).fetchone()) is not None:
            found = self._keep_session(Session(*row))
        return found

    def put_session(self, session: Session) -> None:
        self._db.execute(_SQL["put_session"], astuple(session))
        self._keep_session(session)

    def sessions_at(self, replica: str, limit: int) -> list[Session]:
        return [Session(*row) for row in self._db.execute(_SQL["sessions_at"], (replica, max(0, limit))).fetchall()]

    def release_sessions(self) -> None:
        self._db.execute(_SQL["release_sessions"])
        self._discard_sessions()

    def forget_sessions(self, seen_before_ms: int, limit: int) -> None:
        if self._db.execute(_SQL["forget_sessions"], (seen_before_ms, limit)).rowcount:
            self._discard_sessions()

    def replica(self, replica: str) -> Replica | None:
        row = self._db.execute(_SQL["replica"], (replica,)).fetchone()
        return None if row is None else _replica(row)

    def replicas(self) -> list[Replica]:
        return [_replica(row) for row in self._db.execute(_SQL["replicas"]).fetchall()]

    def put_replica(self, replica: Replica) -> None:
        self._db.execute(_SQL["put_replica"], astuple(replica))

    def drop_replica(self, replica: str) -> None:
        self._db.execute(_SQL["drop_replica"], (replica,))

    def _keep_session(self, session: Session) -> Session:
        if len(self._sessions) >= _KEPT_MAX:
            self._discard_sessions()
        self._sessions[session.instance] = session
        return session

    def _discard_sessions(self) -> None:
        self._sessions = {}


def _replica(row: Row) -> Replica:
    id, beat_at_ms, since_at_ms, is_given_up = row
    return Replica(id, beat_at_ms, since_at_ms, bool(is_given_up))

"""Worker processes, the engines that they are connected to, and who has which duty, of one batch."""

from __future__ import annotations

from msgspec.structs import replace

from ...model import Replica, Session
from ..tables import Duty
from .reading import Reading, check_text
from .rows import Rows
from .values import Row


class SessionRows(Reading):
    """Sessions by instance and by replica, replicas by id, duties by name."""

    def begin_sessions(self) -> None:
        """Begin with nothing read."""
        self.sessions: Rows[str, Session] = Rows(self.undo, _replica_of)
        self.replica_rows: Rows[str, Replica] = Rows(self.undo)
        self.duties: Rows[str, Duty] = Rows(self.undo)
        self.session_forgets: list[tuple[int, int]] = []
        self.session_releases: list[bool] = []

    def session(self, instance: str) -> Session | None:
        if instance not in self.sessions:
            self.ask("session", instance)
        return self.sessions.get(instance)

    def put_session(self, session: Session) -> None:
        check_text(session.instance, session.secret, session.replica)
        self.ask("enter", session.instance)
        self.sessions.put(session.instance, session)

    def sessions_at(self, replica: str, limit: int) -> list[Session]:
        self.ask("sessions_at", replica, limit)
        return sorted(self.sessions.grouped(replica), key=_instance)[: max(0, limit)]

    def release_sessions(self) -> None:
        self.undo.append(self.session_releases, True)
        for name in self.sessions.names():
            for session in self.sessions.grouped(name):
                self.sessions.put(session.instance, replace(session, replica=""))

    def forget_sessions(self, seen_before_ms: int, limit: int) -> None:
        self.undo.append(self.session_forgets, (seen_before_ms, limit))

    def replica(self, replica: str) -> Replica | None:
        if replica not in self.replica_rows and not self.covers("replicas", ()):
            self.ask("replica", replica)
        return self.replica_rows.get(replica)

    def replicas(self) -> list[Replica]:
        self.ask("replicas", ())
        return sorted(self.replica_rows.all(), key=_id)

    def put_replica(self, replica: Replica) -> None:
        check_text(replica.id)
        self.ask("leave", replica.id)
        self.replica_rows.put(replica.id, replica)

    def drop_replica(self, replica: str) -> None:
        self.ask("leave", replica)
        self.replica_rows.put(replica, None)

    def duty(self, name: str) -> Duty | None:
        self.ask("duty", name)
        return self.duties.get(name)

    def put_duty(self, duty: Duty) -> None:
        check_text(duty.name, duty.replica)
        self.duties.put(duty.name, duty)

    # -- what was read

    def take_sessions(self, wanted: list[str], rows: list[Row]) -> None:
        """Note sessions."""
        for row in rows:
            self.sessions.load(row[0], Session(*row))
        for instance in wanted:
            if instance not in self.sessions:
                self.sessions.load(instance, None)

    def take_sessions_at(self, rows: list[Row]) -> None:
        """Note whose sessions a replica has: they are to be locked, and read then."""
        self.found_sessions.update(row[0] for row in rows)

    def take_replicas(self, wanted: list[str], rows: list[Row]) -> None:
        """Note replicas."""
        for row in rows:
            self.replica_rows.load(row[0], Replica(*row))
        for id in wanted:
            if id not in self.replica_rows:
                self.replica_rows.load(id, None)

    def take_duties(self, rows: list[Row]) -> None:
        """Note duties."""
        for row in rows:
            self.duties.load(row[0], Duty(*row))


def _replica_of(session: Session) -> tuple[str, ...]:
    return (session.replica,) if session.replica else ()


def _instance(session: Session) -> str:
    return session.instance


def _id(replica: Replica) -> str:
    return replica.id

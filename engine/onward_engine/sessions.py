"""Which worker processes are known, and which of their connections is the newest.

A session outlives its connections: the secret proves that a newcomer is the same process, the generation orders its
sockets. All of it lives in memory: an engine that has started anew accepts what a worker says about itself, since its
claims are checked run by run.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hmac import compare_digest

from onward_protocol.messages import Hello

from .clock import Ids


@dataclass(slots=True)
class Session:
    """One worker process. `confirmed` is the newest generation on which it has answered the Welcome."""

    secret: str
    generation: int
    confirmed: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a Hello is refused, in words that a person can act on."""

    code: str
    message: str


class Sessions:
    """All sessions; those without a connection are forgotten oldest first when there are more than `sessions_max`."""

    def __init__(self, ids: Ids, sessions_max: int) -> None:
        self._ids = ids
        self._sessions_max = sessions_max
        self._by_instance: OrderedDict[str, Session] = OrderedDict()

    def enter(self, hello: Hello) -> Session | Denied:
        """Begin the next generation of an instance."""
        session = self._by_instance.get(hello.instance)
        if session is None:
            session = self._begin(hello)
        elif denied := _denial(session, hello):
            return denied
        session.generation = max(session.generation, hello.generation) + 1
        session.connections += 1
        self._by_instance.move_to_end(hello.instance)
        return session

    def leave(self, instance: str) -> None:
        """Note that a connection which had entered is gone."""
        session = self._by_instance.get(instance)
        if session is not None:
            session.connections -= 1
        self._forget_oldest()

    def confirm(self, instance: str, generation: int) -> None:
        """Note that the worker has used the Welcome of this generation, so it knows its secret."""
        session = self._by_instance.get(instance)
        if session is not None:
            session.confirmed = max(session.confirmed, generation)

    def is_outdated(self, instance: str, generation: int) -> bool:
        """Tell whether the instance has begun a newer connection."""
        session = self._by_instance.get(instance)
        return session is not None and session.generation > generation

    def _begin(self, hello: Hello) -> Session:
        session = Session(hello.session or self._ids.secret(), hello.generation)
        self._by_instance[hello.instance] = session
        return session

    def _forget_oldest(self) -> None:
        surplus = len(self._by_instance) - self._sessions_max
        if surplus > 0:
            idle = [instance for instance, session in self._by_instance.items() if session.connections <= 0]
            for instance in idle[:surplus]:
                del self._by_instance[instance]


def _denial(session: Session, hello: Hello) -> Denied | None:
    if not session.confirmed and not hello.session:
        # Our Welcome was lost on its way, so the worker cannot know its secret.
        return None
    if not compare_digest(hello.session.encode(), session.secret.encode()):
        return Denied(
            "duplicate_instance",
            f"Another worker process is connected as {hello.instance}. "
            "An instance id belongs to one process: let the SDK choose it.",
        )
    if hello.generation < session.confirmed:
        return Denied("stale_generation", "This worker has a newer connection already; this one was opened before it.")
    return None

"""Who a worker is: its secret proves that a newcomer is the same process, the generation orders its connections."""

from __future__ import annotations

from hmac import compare_digest
from typing import Literal

from msgspec.structs import replace

from ..model import Session

Denial = Literal["duplicate_instance", "stale_generation"]


def denial(session: Session, shown: str, generation: int) -> Denial | None:
    """Say why a Hello with this secret, of a worker that knows connections up to this one, is not let in."""
    if not session.confirmed and not shown:
        return None  # our Welcome was lost on its way, so the worker cannot know its secret
    if not compare_digest(shown.encode(), session.secret.encode()):
        return "duplicate_instance"
    return "stale_generation" if generation < session.confirmed else None


def is_its_guard(session: Session, shown: str) -> bool:
    """Tell whether whoever shows this secret may speak for the process: it has the secret from there."""
    return compare_digest(shown.encode(), session.secret.encode())


def begun(session: Session, generation: int, replica: str, now_ms: int) -> Session:
    """Begin the next connection. The worker has heard of all those that it names."""
    return replace(
        session,
        generation=max(session.generation, generation) + 1,
        confirmed=max(session.confirmed, generation),
        replica=replica,
        seen_at_ms=now_ms,
        guarded_until_ms=0,
    )


def confirmed(session: Session, generation: int) -> Session:
    """Note that the worker has answered the Welcome of this generation."""
    return replace(session, confirmed=max(session.confirmed, generation))


def left(session: Session, now_ms: int) -> Session:
    """Note that the newest connection is gone."""
    return replace(session, replica="", seen_at_ms=now_ms)


def is_heard(session: Session | None, generation: int) -> bool:
    """Tell whether a connection may get runs: it is its worker's newest one, and somebody looks after it."""
    return session is None or (session.generation == generation and session.replica != "")

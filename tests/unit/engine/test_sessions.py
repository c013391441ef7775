"""One process, one session; the newest of its sockets counts."""

from __future__ import annotations

from onward_engine.clock import Ids, SystemClock
from onward_engine.sessions import Denied, Session, Sessions
from onward_protocol.limits import VERSIONS
from onward_protocol.messages import Hello


def sessions(sessions_max: int = 100) -> Sessions:
    return Sessions(Ids(SystemClock()), sessions_max)


def hello(instance: str = "wrk_a", session: str = "", generation: int = 0) -> Hello:
    return Hello(VERSIONS, instance, session=session, generation=generation)


def entered(found: Session | Denied) -> Session:
    assert isinstance(found, Session), found
    return found


def test_each_connection_of_a_process_is_a_newer_generation() -> None:
    known = sessions()
    first = entered(known.enter(hello()))
    known.confirm("wrk_a", 1)
    assert entered(known.enter(hello(session=first.secret, generation=1))).generation == 2


def test_a_hello_that_was_overtaken_by_a_newer_connection_is_refused() -> None:
    known = sessions()
    secret = entered(known.enter(hello())).secret
    known.enter(hello(session=secret, generation=1))
    known.confirm("wrk_a", 2)
    late = known.enter(hello(session=secret, generation=1))
    assert isinstance(late, Denied)
    assert late.code == "stale_generation"


def test_after_a_restart_of_the_engine_a_session_goes_on_with_what_the_worker_knows() -> None:
    session = entered(sessions().enter(hello(session="secret", generation=7)))
    assert (session.secret, session.generation) == ("secret", 8)


def test_only_sessions_without_a_connection_are_forgotten() -> None:
    known = sessions(sessions_max=2)
    kept = entered(known.enter(hello("wrk_kept")))
    for n in range(5):
        known.enter(hello(f"wrk_{n}"))
        known.leave(f"wrk_{n}")
    known.confirm("wrk_kept", 1)
    assert isinstance(known.enter(hello("wrk_kept")), Denied)
    assert entered(known.enter(hello("wrk_kept", kept.secret, 1))).generation == 2
    assert entered(known.enter(hello("wrk_0"))).generation == 1

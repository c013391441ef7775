"""The two ends of the wire, without I/O: bytes and time go in, frames and bytes come out.

Both are used alike. The owner reads a message and gives it to `receive`, uses the frames that come back, calls `tick`
when `deadline_ms` is reached, and writes what `messages_to_send` returns, each as one binary WebSocket message::

    for frame in session.receive(message, now_ms):
        use(frame)                                  # all of them, before the next call of the session
    session.tick(now_ms)                            # also whenever `deadline_ms` is reached; too early does no harm
    for message in session.messages_to_send(now_ms):
        await socket.send(message)

A `ProtocolError` from `receive` or `tick` ends the connection with the error's `close_code`; a `close_code` of the
session ends it once everything is written. After either, the session is thrown away.

Sessions number messages, beat, count credit, keep the lease and compare what is held. What happens inside a run is none
of their business: checkpoints and acks pass through.
"""

from __future__ import annotations

from onward_protocol.engine_session import EngineSession, FromWorker
from onward_protocol.worker_session import FromEngine, Vitals, WorkerSession

__all__ = ["EngineSession", "FromEngine", "FromWorker", "Vitals", "WorkerSession"]

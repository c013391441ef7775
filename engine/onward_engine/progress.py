"""What workers report of their runs goes to the store, and its verdict back to them.

A frame that can never be stored is not skipped, or the worker would send it for ever: the run fails by name in its
place.
"""

from __future__ import annotations

from functools import partial

import structlog
from onward_protocol.codec import decode_entries
from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Ack, Checkpoint, Failure, Return, RunFailed

from .clock import Clock
from .commit import Committer, ignore
from .connection import Connection
from .store.port import Applied, ApplyCheckpoint, GiveBack, Rejected

OP_BYTES = 256  # what an operation takes beside its payload
_NO_ENTRIES = b"\x90"  # an empty MessagePack array

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.progress")


class Progress:
    """Checkpoints and returned runs."""

    def __init__(self, committer: Committer, clock: Clock) -> None:
        self._committer = committer
        self._clock = clock

    def checkpoint(self, connection: Connection, frame: Checkpoint) -> None:
        """Store a frame; after the commit its worker gets an Ack, or a Fence if the run is not its own any more."""
        try:
            entries = tuple(decode_entries(frame.entries))
        except ProtocolError as error:
            self._fail(connection, frame, error.code, error.message)
            return
        op = ApplyCheckpoint(
            now_ms=self._clock.wall_ms(),
            run=frame.run,
            epoch=frame.epoch,
            seq=frame.seq,
            instance=connection.instance,
            generation=connection.generation,
            raw=frame.entries,
            entries=entries,
            outcome=frame.outcome,
        )
        size = len(frame.entries) + OP_BYTES
        connection.uncommitted_bytes += size
        self._committer.submit(op, partial(self._applied, connection, frame, size), size)

    def returned(self, connection: Connection, frame: Return) -> None:
        """Queue a run that the worker does not have or cannot take."""
        op = GiveBack(now_ms=self._clock.wall_ms(), run=frame.run, epoch=frame.epoch, reason=frame.reason)
        connection.uncommitted_bytes += OP_BYTES
        self._committer.submit(op, partial(self._given_back, connection), OP_BYTES)

    def _given_back(self, connection: Connection, outcome: bool | Rejected) -> None:
        connection.uncommitted_bytes -= OP_BYTES
        ignore(outcome)

    def _applied(self, connection: Connection, frame: Checkpoint, size: int, outcome: Applied | Rejected) -> None:
        connection.uncommitted_bytes -= size
        if isinstance(outcome, Rejected):
            self._fail(connection, frame, outcome.code, outcome.message)
        elif outcome.verdict == "stale":
            connection.fence(frame.run, frame.epoch, outcome.reason)
        else:
            connection.send(Ack(frame.run, frame.epoch, outcome.seq, outcome.verdict == "gap"))

    def _fail(self, connection: Connection, frame: Checkpoint, code: str, message: str) -> None:
        _log.warning("bad checkpoint", run=frame.run, worker=connection.instance, code=code, reason=message)
        op = ApplyCheckpoint(
            now_ms=self._clock.wall_ms(),
            run=frame.run,
            epoch=frame.epoch,
            seq=frame.seq,
            instance=connection.instance,
            generation=connection.generation,
            raw=_NO_ENTRIES,
            entries=(),
            outcome=RunFailed(Failure("BadCheckpoint", f"The engine cannot store what this run reported: {message}")),
        )
        connection.uncommitted_bytes += OP_BYTES
        self._committer.submit(op, partial(self._failed, connection, frame), OP_BYTES)

    def _failed(self, connection: Connection, frame: Checkpoint, outcome: Applied | Rejected) -> None:
        if not isinstance(outcome, Rejected):
            self._applied(connection, frame, OP_BYTES, outcome)
            return
        connection.uncommitted_bytes -= OP_BYTES
        connection.fence(frame.run, frame.epoch, outcome.message)

"""What goes wrong on the wire, and whose fault it is.

* `WireError`
  * `ProtocolError`: the peer's fault: close the connection with `close_code`
  * `LocalMisuse`: our own fault: a bug in the code that called us; never caused by what a peer sends
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

ErrorCode = Literal["malformed", "too_large", "unknown_frame", "out_of_turn", "bad_part", "silent", "version"]


class CloseCode(IntEnum):
    """The status that a WebSocket is closed with.

    Own codes begin at 4400 and follow the HTTP status of like meaning.
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    INTERNAL = 1011
    PROTOCOL = 4400
    REVOKED = 4401
    SILENT = 4408
    SUPERSEDED = 4409
    TOO_LARGE = 4413
    REFUSED = 4426
    BLOCKED = 4499


_CLOSE_CODES: dict[str, CloseCode] = {
    "too_large": CloseCode.TOO_LARGE,
    "silent": CloseCode.SILENT,
    "version": CloseCode.REFUSED,
}


class WireError(Exception):
    """Base of all errors of this package."""


class ProtocolError(WireError):
    """The peer broke the protocol, or fell silent. The connection has to be closed; nothing of the message was used."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: ErrorCode = code
        self.message = message

    @property
    def close_code(self) -> CloseCode:
        """The status to close the WebSocket with."""
        return _CLOSE_CODES.get(self.code, CloseCode.PROTOCOL)


class LocalMisuse(WireError):
    """This end asked for what it may not do now, such as sending an Assign after a GoAway: a bug here."""

"""Why there is no connection, in words for people.

DialError
  Unreachable       a name that nobody knows, or an address where nobody answers
  TunnelRefused     a proxy that does not lead us on
  TlsFailed         no encryption that can be trusted
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

CLIENT_CERTIFICATE_ALERTS: Final = ("CERTIFICATE_REQUIRED", "ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE")
"""What a server says that wants a certificate of its client, or another one. OpenSSL puts the protocol's name before
it."""


class DialError(Exception):
    """`code` says what to do; `is_final`, that another attempt will end like this one. `retry_after` is the header in
    which somebody on the way said when to come back.
    """

    def __init__(self, message: str, *, code: str = "", is_final: bool = False, retry_after: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.is_final = is_final
        self.retry_after = retry_after


class Unreachable(DialError):
    """`peer` is who was looked for: the engine, or a proxy. `cause` is the system's own word."""

    def __init__(self, peer: str, cause: OSError | UnicodeError) -> None:
        is_unknown = isinstance(cause, socket.gaierror | UnicodeError)
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        super().__init__(f"{peer} cannot be {'found' if is_unknown else 'reached'}: {reason}", code="E0401")
        self.peer = peer
        self.cause = cause


class TunnelRefused(DialError):
    """`status` is the HTTP status, or the reply of SOCKS; 0: what it said makes no sense. `is_auth`: it wants a user
    and a password, or not this one. `wants` are the kinds of authentication that it offers.
    """

    def __init__(
        self, message: str, *, status: int = 0, is_auth: bool = False, wants: str = "", retry_after: str = ""
    ) -> None:
        # Once more with a wrong password, and again every second, would lock the account.
        super().__init__(message, code="E0408" if is_auth else "E0433", is_final=is_auth, retry_after=retry_after)
        self.status = status
        self.is_auth = is_auth
        self.wants = wants


class TlsFailed(DialError):
    """`peer` is whose certificate it is, or whom ours did not please; `cause` is what OpenSSL says."""

    def __init__(self, peer: str, cause: BaseException, *, is_final: bool = False) -> None:
        message, code = _told(peer, cause)
        super().__init__(message, code=code, is_final=is_final)
        self.peer = peer
        self.cause = cause


def wants_certificate(error: BaseException | None) -> bool:
    """Tell whether an error, or what has caused it, is a server's word that it wants a certificate of ours."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and (error.reason or "").endswith(CLIENT_CERTIFICATE_ALERTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _told(peer: str, cause: BaseException) -> tuple[str, str]:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {peer} is not trusted: {cause.verify_message}", "E0409"
    if wants_certificate(cause):
        return f"{peer} does not accept us without a client certificate, or not with this one", "E0410"
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or str(cause)).lower().replace("_", " ")
        return f"{peer} does not speak TLS as it should: {reason}", "E0434"
    if isinstance(cause, TimeoutError):
        return f"{peer} does not answer while encryption is agreed on", "E0434"
    reason = f": {cause}" if str(cause) else ""
    return f"{peer} ended the connection while encryption was agreed on{reason}", "E0434"

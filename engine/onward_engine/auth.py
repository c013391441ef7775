"""Who may talk to the engine: deny by default, in constant time.

With a token, whoever sends it as a Bearer is the administrator. Without one (`dev`) only this machine may ask: the
address is a loopback one, and the Host header has to name it, or a web page could reach the engine through a name that
it points here. A browser's Origin is refused on the workers' socket always, and everywhere else unless it is the
engine's own.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
CALLBACKS = "/c/"
"""What stands behind it is asked for instead of a token, wherever the request comes from."""

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is not even looked at."""

    status: int
    code: str
    message: str


class Access:
    """The one door in front of all routes. `token` None: only from this machine, without a token."""

    def __init__(self, token: str | None) -> None:
        self._digest = None if token is None else sha256(token.encode()).digest()

    def denial(self, path: str, headers: Headers, *, is_socket: bool) -> Denial | None:
        """Say why this request may not pass; None lets it in."""
        if (path in OPEN_PATHS or path.startswith(CALLBACKS)) and not is_socket:
            return None
        found = {name: value.decode("latin-1") for name, value in headers}
        return self._origin_denial(found, is_socket=is_socket) or self._caller_denial(found)

    def _origin_denial(self, headers: dict[bytes, str], *, is_socket: bool) -> Denial | None:
        origin = headers.get(b"origin")
        if origin is None:
            return None
        host = headers.get(b"host", "")
        if not is_socket and origin in (f"http://{host}", f"https://{host}"):
            return None
        return Denial(403, "origin", "Requests from web pages are not accepted here.")

    def _caller_denial(self, headers: dict[bytes, str]) -> Denial | None:
        if self._digest is None:
            if is_loopback(_host_name(headers.get(b"host", ""))):
                return None
            return Denial(403, "host", "This development engine answers to localhost, 127.0.0.1 and [::1] only.")
        scheme, _, token = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(sha256(token.strip().encode()).digest(), self._digest):
            return None
        return Denial(401, "token", "A valid token is needed: set ONWARD_TOKEN or ONWARD_TOKEN_FILE.")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only mean this machine."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def read_or_make_token(path: Path, secret: str) -> tuple[str, bool]:
    """Return the admin token and whether it was made just now. A new one is written for its owner's eyes only."""
    with suppress(FileNotFoundError):
        if token := path.read_text().strip():
            return token, False
    token = f"onw_admin_{secret[:8]}_{secret[8:]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    # The mode is there before the first byte is.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return token, True


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host

"""What the probes bring home. Judges read nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from onward_cli.doctor.certificate import Certificate
from onward_cli.doctor.verdict import Check


class Source(Struct, frozen=True, kw_only=True):
    """A setting as it counts, and where it comes from: an option, a variable, a file. Never a secret."""

    name: str
    value: str
    origin: str


class Place(Struct, frozen=True, kw_only=True):
    """The host that this machine itself connects to: the engine's, or the proxy's before it."""

    host: str
    port: int
    is_proxy: bool = False

    @property
    def role(self) -> str:
        """Who is there."""
        return "the proxy" if self.is_proxy else "the engine"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Names(Struct, frozen=True, kw_only=True):
    """What became of a question for the addresses of a host. `error` is the resolver's."""

    place: Place
    addresses: tuple[str, ...] = ()
    is_literal: bool = False
    is_temporary: bool = False
    error: str = ""


class Knock(Struct, frozen=True, kw_only=True):
    """What became of a TCP connection. `ended` is how it failed."""

    place: Place
    address: str = ""
    ended: Literal["", "refused", "silent", "no_way"] = ""
    error: str = ""
    patience_s: float = 0


class Tunnel(Struct, frozen=True, kw_only=True):
    """What a proxy answered. `refusal` is a sentence; `status` is that of HTTP or the reply of SOCKS, 0 if it made no
    sense; `wants` are the kinds of authentication that it offers.
    """

    proxy: str
    target: str
    refusal: str = ""
    status: int = 0
    is_auth: bool = False
    wants: str = ""
    has_user: bool = False


class Handshake(Struct, frozen=True, kw_only=True):
    """What became of TLS.

    `leaf` was presented, accepted or not; `stranger` was presented when a host was asked for that nobody has.
    `verify_code` is OpenSSL's, 0 if it did not come to that. `wants_own`: the other end wants a certificate of ours, or
    another one.
    """

    host: str
    now: datetime
    is_proxy: bool = False
    version: str = ""
    leaf: Certificate | None = None
    stranger: Certificate | None = None
    stranger_host: str = ""
    verify_code: int = 0
    error: str = ""
    is_late: bool = False
    ca_file: str = ""
    wants_own: bool = False
    has_own: bool = False

    @property
    def check(self) -> Check:
        """The step that this belongs to: a proxy's TLS is a part of the way through it."""
        return Check.TUNNEL if self.is_proxy else Check.TLS


class Answer(Struct, frozen=True, kw_only=True):
    """An answer over HTTP. `status` 0: none came, for the reason in `error`. `problem` is the code of an engine's own
    refusals.
    """

    status: int = 0
    problem: str = ""
    message: str = ""
    media: str = ""
    server: str = ""
    location: str = ""
    error: str = ""
    is_late: bool = False
    """Nothing came in time, on a connection that stayed open."""

    is_of_tls: bool = False
    """Nothing came, and whoever is there does a TLS handshake."""


class Upgrade(Struct, frozen=True, kw_only=True):
    """What came of asking for a WebSocket, and of asking the same address whether an engine is there."""

    url: str
    asked: Answer
    health: Answer = Answer()

    @property
    def is_engine(self) -> bool:
        """Whether an engine answers to ordinary requests there."""
        return self.health.status == 200 and self.health.message.strip() == "ok"


class Greeting(Struct, frozen=True, kw_only=True):
    """What an engine answered to a Hello. `refused` is its code, `ended` how the connection did."""

    engine: str = ""
    version: int = 0
    refused: str = ""
    message: str = ""
    ended: str = ""


class Clocks(Struct, frozen=True, kw_only=True):
    """When the engine spoke by its own clock, and when this machine asked and heard it by its own."""

    engine_at_ms: int
    asked_at_ms: int
    heard_at_ms: int


class Silence(Struct, frozen=True, kw_only=True):
    """What became of a connection on which nothing but beats passed. `quiet_s` is for how long nothing had come when it
    ended, `survived_s` the longest such time before.
    """

    asked_s: float
    beat_s: float
    lived_s: float
    quiet_s: float = 0
    survived_s: float = 0
    ended: Literal["", "cut", "silent", "closed"] = ""
    reason: str = ""

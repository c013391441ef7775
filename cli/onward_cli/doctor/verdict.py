"""What is said about each step of the way, and what the whole means for a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from onward_cli.exits import Exit


class Check(StrEnum):
    """The steps, in their order: each stands on those before it."""

    SETTINGS = "settings"
    PROXY = "proxy"
    DNS = "dns"
    TCP = "tcp"
    TUNNEL = "tunnel"
    TLS = "tls"
    UPGRADE = "upgrade"
    AUTH = "auth"
    PROTOCOL = "protocol"
    CLOCK = "clock"
    RTT = "rtt"
    IDLE = "idle"


class Mark(StrEnum):
    """How a step went. A warning stops nothing; a step is skipped if there is nothing to look at."""

    FINE = "fine"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Verdict(Struct, frozen=True, kw_only=True):
    """One step: what is so, in a sentence, and the one thing to do if it should not be so. `facts` are for programs."""

    check: Check
    mark: Mark
    says: str
    advice: str = ""
    code: str = ""
    status: int = 0
    took_ms: float = 0
    facts: dict[str, Any] = {}


def fine(check: Check, says: str, **facts: Any) -> Verdict:
    """Return that a step went well."""
    return Verdict(check=check, mark=Mark.FINE, says=says, facts=facts)


def skipped(check: Check, says: str) -> Verdict:
    """Return that there was nothing to look at."""
    return Verdict(check=check, mark=Mark.SKIPPED, says=says)


def warning(check: Check, says: str, advice: str, **facts: Any) -> Verdict:
    """Return that a step went well, but not as it should."""
    return Verdict(check=check, mark=Mark.WARNING, says=says, advice=advice, facts=facts)


def failed(
    check: Check,
    code: str,
    says: str,
    advice: str,
    *,
    status: Exit = Exit.UNREACHABLE,
    facts: Mapping[str, Any] | None = None,
) -> Verdict:
    """Return that the way ends here."""
    known = dict(facts or {})
    return Verdict(check=check, mark=Mark.FAILED, says=says, advice=advice, code=code, status=int(status), facts=known)


def exit_of(verdicts: Sequence[Verdict]) -> int:
    """Return the status to exit with: that of the first step that failed."""
    return next((one.status for one in verdicts if one.mark is Mark.FAILED), int(Exit.OK))

"""Judges what the engine itself says: the door, the token, the protocol, its clock, and how long a connection lasts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from onward_cli.doctor.evidence import Answer, Clocks, Greeting, Silence, Upgrade
from onward_cli.doctor.verdict import Check, Verdict, failed, fine, skipped, warning
from onward_cli.exits import Exit

SWITCHING: Final = 101
_GATEWAY: Final = {502, 503, 504}
_NOT_NOW: Final = "E0536"
_LOG: Final = "look into the engine's log"
SKEW_MS: Final = 5_000
"""A worker's clock stamps its steps; nothing is decided by it, so only what a person would notice is worth a word."""

SLOW_MS: Final = 500
"""A step that waits for its acknowledgement takes so much longer, at least."""


def judge_upgrade(upgrade: Upgrade) -> Verdict:
    """Judge whether a WebSocket gets through, whatever the engine then thinks of who asks."""
    asked = upgrade.asked
    if asked.status == SWITCHING or _is_of_engine(asked):
        return fine(Check.UPGRADE, "the WebSocket gets through to an engine")
    code, says, advice = _blockage(upgrade)
    status = Exit.TRY_AGAIN if code == _NOT_NOW else Exit.UNREACHABLE
    return failed(Check.UPGRADE, code, says, advice, status=status, facts={"answer": asked.status})


def _blockage(upgrade: Upgrade) -> tuple[str, str, str]:
    asked, health, url = upgrade.asked, upgrade.health, upgrade.url
    if asked.problem == "upgrade_required" or upgrade.is_engine:
        says = f"requests reach the engine, but WebSockets are blocked on the way: {_shown(asked)}"
        return "E0534", says, "have every proxy and load balancer on the way pass the headers Upgrade and Connection on"
    if asked.is_late and health.is_late:
        says = f"connections are accepted at {url}, and nothing is answered: the engine stands still"
        return _NOT_NOW, says, "look whether it answers on its own machine: /healthz; if not, look into its log"
    if health.is_of_tls:
        return "E0535", f"what answers at {url} speaks TLS", "write https:// in --url (ONWARD_URL)"
    return _stranger(asked, url)


def _stranger(asked: Answer, url: str) -> tuple[str, str, str]:
    """Say what to do about somebody who answers in place of the engine."""
    if asked.location:
        return "E0535", f"{url} sends us on to {asked.location}", "write where that leads in --url (ONWARD_URL)"
    if asked.status in _GATEWAY:
        says = f"what answers at {url} cannot reach the engine behind it: {_shown(asked)}"
        return "E0526", says, "start the engine, or have the way from there to it opened"
    says = f"what answers at {url} is no Onward engine: {_shown(asked)}"
    return "E0535", says, "correct the host, port and path of --url (ONWARD_URL)"


def judge_auth(asked: Answer, *, has_token: bool) -> Verdict:
    """Judge whether the engine lets this caller in."""
    match asked.status, asked.problem:
        case 401, _:
            says = "the engine does not accept this token" if has_token else "the engine wants a token"
            advice = (
                "correct the token, or the file that ONWARD_TOKEN_FILE names; the engine's own is in its admin.token"
                if has_token
                else "set ONWARD_TOKEN, or ONWARD_TOKEN_FILE to a file such as the engine's .onward/admin.token"
            )
        case 403, "host":
            says = f"the engine does not let us in: {asked.message}"
            advice = "ask it by 127.0.0.1, or start it with `worker engine start`"
        case 403, _:
            says = f"the engine does not let this token connect a worker: {asked.message}"
            advice = "use a token that may"
        case _:
            return fine(Check.AUTH, "the token is accepted") if has_token else skipped(Check.AUTH, "no token is set")
    return failed(Check.AUTH, "E0402", says, advice, status=Exit.AUTH)


def judge_refusal(asked: Answer) -> Verdict:
    """Judge why an engine that may be reached by this caller opens no WebSocket."""
    if asked.problem == "subprotocol":
        return _other_version(f"the engine does not speak this release's protocol: {asked.message}")
    return _not_now(f"the engine takes no workers at the moment: {_shown(asked)}")


def judge_protocol(greeting: Greeting) -> Verdict:
    """Judge whether both ends speak a common version, and the engine takes workers in."""
    if greeting.refused == "version":
        return _other_version(greeting.message)
    if greeting.refused:
        return _not_now(f"the engine refuses a worker ({greeting.refused}): {greeting.message}")
    if greeting.ended:
        says = f"the WebSocket is open, and a worker's first words are not answered: {greeting.ended}"
        return _not_now(
            says, f"{_LOG}; if it has not heard of this worker, something on the way holds back what is said"
        )
    says = f"{greeting.engine or 'the engine'} speaks version {greeting.version}"
    return fine(Check.PROTOCOL, says, engine=greeting.engine, version=greeting.version)


def judge_clocks(clocks: Clocks) -> Verdict:
    """Judge how far this machine's clock is from the engine's. What the way took may be on either side of it."""
    early, late = clocks.engine_at_ms - clocks.heard_at_ms, clocks.engine_at_ms - clocks.asked_at_ms
    skew_ms = 0 if early <= 0 <= late else min(early, late, key=abs)
    if abs(skew_ms) <= SKEW_MS:
        return fine(Check.CLOCK, f"within {max(abs(early), abs(late))} ms of the engine's", skew_ms=skew_ms)
    side = "behind" if skew_ms > 0 else "ahead of"
    return warning(
        Check.CLOCK,
        f"this machine's clock is {abs(skew_ms) / 1000:.1f} s {side} the engine's",
        "let both machines set their clocks by NTP: certificates and the times of steps depend on them",
        skew_ms=skew_ms,
    )


def judge_round_trips(trips_ms: Sequence[float]) -> Verdict:
    """Judge how long it takes to the engine and back."""
    if not trips_ms:
        return failed(Check.RTT, _NOT_NOW, "the engine answers no beats", _LOG, status=Exit.TRY_AGAIN)
    middle, slowest = median(trips_ms), max(trips_ms)
    says = f"{middle:.1f} ms, {slowest:.1f} ms at most in {len(trips_ms)}"
    facts = {"median_ms": round(middle, 3), "max_ms": round(slowest, 3)}
    if middle < SLOW_MS:
        return fine(Check.RTT, says, **facts)
    return warning(Check.RTT, f"it is slow: {says}", "run workers nearer to the engine, or fewer steps", **facts)


def judge_silence(silence: Silence) -> Verdict:
    """Judge whether a connection lasts on which nothing but beats passes."""
    facts = {"lived_s": round(silence.lived_s, 1), "quiet_s": round(silence.quiet_s, 1)}
    if not silence.ended:
        says = f"lived through {silence.asked_s:g} s with nothing but a beat every {silence.beat_s:g} s"
        return fine(Check.IDLE, says, **facts)
    if silence.ended == "closed":
        says = f"the connection was closed after {silence.lived_s:.1f} s: {silence.reason}"
        return failed(Check.IDLE, _NOT_NOW, says, _LOG, status=Exit.TRY_AGAIN, facts=facts)
    how = "was cut" if silence.ended == "cut" else "fell silent"
    if silence.quiet_s > silence.survived_s:
        says = f"the connection {how} after {silence.quiet_s:.1f} s without traffic: {silence.reason}"
        advice = f"set the idle timeout of what is on the way to 60 s; it has to be more than {silence.beat_s:g} s"
    else:
        says = f"the connection {how} when it was {silence.lived_s:.0f} s old, although it was used: {silence.reason}"
        advice = "let connections live for an hour on the way, or set --max-connection-age below what they have"
    return failed(Check.IDLE, "E0537", says, advice, facts=facts)


def _is_of_engine(asked: Answer) -> bool:
    """Whether an engine has seen the WebSocket, and said something about who asks."""
    return asked.problem in {"token", "host", "origin", "leaving", "subprotocol"}


def _other_version(says: str) -> Verdict:
    advice = "install the same release of onward on both sides; an engine also speaks to the two releases before it"
    return failed(Check.PROTOCOL, "E0403", says, advice, status=Exit.VERSION)


def _not_now(says: str, advice: str = _LOG) -> Verdict:
    return failed(Check.PROTOCOL, _NOT_NOW, says, advice, status=Exit.TRY_AGAIN)


def _shown(answer: Answer) -> str:
    if not answer.status:
        return answer.error or "no answer"
    words = [f"HTTP {answer.status}", answer.server, answer.message if answer.problem else answer.media]
    return ", ".join(word for word in words if word)

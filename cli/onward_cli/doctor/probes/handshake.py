"""TLS with whoever is there, and who that says to be, also where it is not believed."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from msgspec.structs import replace
from onward.dialing.faults import DialError, TlsFailed, wants_certificate
from onward.dialing.line import Line
from onward.dialing.way import Way

from onward_cli.doctor.certificate import Certificate, read_certificate
from onward_cli.doctor.evidence import Answer, Handshake
from onward_cli.doctor.probes.request import ask_health
from onward_cli.doctor.probes.road import PATIENCE_S, Road

Open = Callable[[ssl.SSLContext, str], AbstractAsyncContextManager[Line]]


async def shake_hands_with_engine(road: Road, way: Way, path: str) -> tuple[Handshake, Answer]:
    """Do it as a worker does, and ask whether an engine is there: only with its answer is it known whether it wants a
    certificate of ours.
    """
    host, answer = road.target.host, Answer()
    found = Handshake(host=host, now=datetime.now(UTC), ca_file=way.ca_file, has_own=bool(way.client_cert))
    try:
        async with asyncio.timeout(PATIENCE_S), road.to_engine(road.trust.to_engine(), host) as line:
            found = _seen(found, line)
            answer = await ask_health(line, road.target, path)
    except (TimeoutError, DialError, OSError) as failure:
        if wants_certificate(failure):
            return replace(found, wants_own=True, error=_said(failure)), answer
        if not found.version:
            return await _looked_at(found, failure, road.to_engine), answer
        answer = Answer(error=_said(failure), is_late=isinstance(failure, TimeoutError))
    return found, answer


async def speaks_tls(road: Road) -> bool:
    """Tell whether whoever is at the end of the way does a handshake."""
    return await _presented(road.to_engine, road.target.host) is not None


async def shake_hands_with_proxy(road: Road, host: str, way: Way) -> Handshake:
    """Do it as a worker does."""
    found = Handshake(host=host, now=datetime.now(UTC), is_proxy=True, ca_file=way.ca_file)
    try:
        async with asyncio.timeout(PATIENCE_S), road.to_proxy(road.trust.to_proxy(), host) as line:
            return _seen(found, line)
    except (TimeoutError, DialError, OSError) as failure:
        return await _looked_at(found, failure, road.to_proxy)


async def _looked_at(found: Handshake, failure: Exception, to_host: Open) -> Handshake:
    """Add who was there although the handshake failed, and who was there when nobody could be meant."""
    cause = failure.cause if isinstance(failure, TlsFailed) else failure
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return replace(found, error=_said(cause), is_late=isinstance(cause, TimeoutError))
    stranger_host = f"{secrets.token_hex(6)}.invalid"
    return replace(
        found,
        error=cause.verify_message,
        verify_code=cause.verify_code,
        leaf=await _presented(to_host, found.host),
        stranger=await _presented(to_host, stranger_host),
        stranger_host=stranger_host,
    )


async def _presented(to_host: Open, host: str) -> Certificate | None:
    """Return the certificate that is shown to whoever asks for a host. Nothing is said on this connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(PATIENCE_S), to_host(context, host) as line:
            return _leaf(line)
    except (TimeoutError, DialError, OSError):
        return None


def _seen(found: Handshake, line: Line) -> Handshake:
    session: ssl.SSLObject = line.transport.get_extra_info("ssl_object")
    return replace(found, version=session.version() or "", leaf=_leaf(line))


def _leaf(line: Line) -> Certificate | None:
    session: ssl.SSLObject = line.transport.get_extra_info("ssl_object")
    try:
        return read_certificate(session.getpeercert(binary_form=True) or b"")
    except ValueError:
        return None


def _said(failure: BaseException) -> str:
    cause = failure.cause if isinstance(failure, TlsFailed) else failure
    match cause:
        case TimeoutError():
            return f"no answer within {PATIENCE_S} s"
        case ssl.SSLError():
            return (cause.reason or str(cause)).lower().replace("_", " ")
        case OSError():
            return cause.strerror or str(cause) or "the connection was ended"
        case _:
            return str(cause)

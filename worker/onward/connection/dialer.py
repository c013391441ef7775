"""Opens the one outgoing connection, so that a worker needs no port of its own.

Names are resolved, and token and certificates are read, anew for every attempt: all may have changed while the worker
ran.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import msgspec
from onward_protocol.limits import SUBPROTOCOL, Limits
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from onward.address import socket_url
from onward.connection.link import DialFailed, HasEnded, Link, Refused, Socket, WebSocketLink, has_ended
from onward.dialing.faults import DialError, TlsFailed, wants_certificate
from onward.dialing.line import OpenSocket, dial, open_socket
from onward.dialing.trust import Trust
from onward.dialing.way import Way
from onward.errors import ConfigError
from onward.settings import checked_token

OPEN_TIMEOUT_S = 3
PROXIED_TIMEOUT_S = 10  # a proxy may look up a name, ask who we are, and connect, before it answers
CLOSE_TIMEOUT_S = 1
RETRY_AFTER_S_MAX = 86_400


class Dialer:
    """Opens links to the engine at `url`, by the `way` that is given. `token` is asked at each attempt; an empty answer
    sends none.

    Raises `DialFailed` when another attempt makes sense, otherwise `Refused` or `ConfigError`.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        way: Way | None = None,
        *,
        open_socket: OpenSocket = open_socket,
        has_ended: HasEnded = has_ended,
    ) -> None:
        self._url = url
        self._token = token
        self._way = way or Way()
        self._trust = Trust(self._way)
        self._open_socket = open_socket
        self._has_ended = has_ended
        self._was_let_in = False

    async def __call__(self) -> Link:
        """Open one link."""
        try:
            link = WebSocketLink(await self._connect(), self._has_ended)
        except InvalidStatus as refusal:
            raise _judge(refusal.response, self._url) from refusal
        except DialError as fault:
            raise _fault(fault) from fault
        except InvalidHandshake as garbled:
            raise DialFailed(f"what answers at {self._url} is no Onward engine: {garbled}") from garbled
        except TimeoutError as late:
            raise DialFailed(f"no answer from {self._url} within {self._timeout_s()} s") from late
        except ConfigError as wrong:
            if self._was_let_in:  # a file that is being replaced
                raise DialFailed(wrong.message, code=wrong.code) from wrong
            raise
        self._was_let_in = True
        return link

    async def _connect(self) -> Socket:
        async with asyncio.timeout(self._timeout_s()):
            headers = self._headers()
            connection = _socket(self._url)
            await dial(connection, self._url, self._way, self._trust, self._open_socket)
            try:
                await _shake_hands(connection, headers)
            except BaseException as error:
                connection.transport.abort()
                if (told := connection.connection_exc) and wants_certificate(told):  # with TLS 1.3 it is told so late
                    raise TlsFailed(f"the engine at {self._url}", told, is_final=not self._way.client_cert) from error
                raise
            return connection

    def _timeout_s(self) -> int:
        return OPEN_TIMEOUT_S if self._way.choice(self._url).proxy is None else PROXIED_TIMEOUT_S

    def _headers(self) -> dict[str, str]:
        token = checked_token(self._token(), "the token")
        return {"Authorization": f"Bearer {token}"} if token else {}


def parse_retry_after(text: str, now_s: float) -> int | None:
    """Return the milliseconds that a Retry-After header asks for, in either form; None when it is missing or bad."""
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_S_MAX) * 1_000
    try:
        wanted_s = parsedate_to_datetime(text).timestamp() - now_s
        return round(min(max(0, wanted_s), RETRY_AFTER_S_MAX) * 1_000)
    except (ValueError, OverflowError):
        return None


def _socket(url: str) -> Socket:
    """Keep-alive pings are off: a worker whose loop is busy for a minute must not lose its connection. Beats decide."""
    protocol = ClientProtocol(
        parse_uri(socket_url(url)), subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=Limits().message_bytes_max
    )
    return Socket(protocol, ping_interval=None, close_timeout=CLOSE_TIMEOUT_S, max_queue=4)


async def _shake_hands(connection: Socket, headers: dict[str, str]) -> None:
    await connection.handshake(headers)
    if connection.subprotocol != SUBPROTOCOL:
        await connection.close()
        raise InvalidHandshake(f"it does not speak {SUBPROTOCOL}")


def _judge(response: Response, url: str) -> DialFailed | Refused:
    match response.status_code, _problem_code(response):
        case 401, _:
            return Refused(f"the engine at {url} does not accept this token", code="E0402")
        case 403, _:
            return Refused(f"the engine at {url} does not let this token connect a worker", code="E0402")
        case 426, "upgrade_required":
            return DialFailed(
                f"something before the engine at {url} lets no WebSocket through: it took the Upgrade out", code="E0534"
            )
        case 426, _:
            return Refused(f"the engine at {url} speaks another version of the protocol", code="E0403")
        case status, _:
            retry_after_ms = parse_retry_after(response.headers.get("Retry-After", ""), time.time())
            where = response.headers.get("Location", "")
            sent_on = f" and wants us to go to {where}" if 300 <= status < 400 and where else ""
            return DialFailed(f"the engine at {url} answered HTTP {status}{sent_on}", retry_after_ms)


def _problem_code(response: Response) -> str:
    """Return the code of a refusal that is the engine's own; others that answer in its place have none."""
    try:
        return msgspec.json.decode(bytes(response.body or b""), type=_Problem).code
    except msgspec.MsgspecError:
        return ""


class _Problem(msgspec.Struct):
    code: str = ""


def _fault(fault: DialError) -> DialFailed | Refused:
    if fault.is_final:
        return Refused(fault.message, code=fault.code)
    return DialFailed(fault.message, parse_retry_after(fault.retry_after, time.time()), code=fault.code)

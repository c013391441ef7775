"""Sends requests to one engine from blocking code."""

from __future__ import annotations

from collections import deque
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from onward.calls import Answer, Request
from onward.dialing.blocking import dial_blocking
from onward.dialing.faults import DialError
from onward.dialing.trust import Trust
from onward.dialing.way import target_of
from onward.settings import Settings
from onward.transport import ANSWER_S, CONNECT_S, IDLE_MAX, headers_of, not_connected


class SyncTransport:
    """Sends requests to one engine on kept connections. Safe to use from many threads: each request has a connection to
    itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._address: Final = urlsplit(settings.url)
        self._trust: Final = Trust(settings.way)
        self._idle: Final[deque[HTTPConnection]] = deque()

    def request(self, request: Request) -> Answer:
        """Send a request and return the answer, whatever its status. Raises `NotConnected`."""
        try:
            return self._exchange(request)
        except (DialError, OSError, HTTPException) as error:
            raise not_connected(self._settings, error) from error

    def close(self) -> None:
        """Close the kept connections."""
        while (connection := self._kept()) is not None:
            connection.close()

    def _exchange(self, request: Request) -> Answer:
        while (connection := self._kept()) is not None:
            try:
                return self._on(connection, request)
            except (
                ConnectionError,
                HTTPException,
            ):  # the engine closed a kept connection: every request may be repeated
                continue
        return self._on(self._new(), request)

    def _kept(self) -> HTTPConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _new(self) -> HTTPConnection:
        return _Connection(self._settings, self._trust)

    def _on(self, connection: HTTPConnection, request: Request) -> Answer:
        is_kept = False
        try:
            connection.timeout = ANSWER_S + request.wait_ms / 1000
            if connection.sock is not None:
                connection.sock.settimeout(connection.timeout)
            headers = headers_of(request, self._settings)
            connection.request(request.method, self._address.path + request.path, request.body or None, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.read())
            is_kept = not response.will_close
        finally:
            if is_kept and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
            else:
                connection.close()
        return answer


class _Connection(HTTPConnection):
    """HTTP on a connection that is dialled as all are."""

    def __init__(self, settings: Settings, trust: Trust) -> None:
        target = target_of(settings.url)
        super().__init__(target.host, target.port)
        self._settings = settings
        self._trust = trust

    def connect(self) -> None:
        self.sock: Any = dial_blocking(self._settings.url, self._settings.way, self._trust, CONNECT_S)
        self.sock.settimeout(self.timeout)

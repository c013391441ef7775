"""Requests whose first lines do not come. A connection of which nobody knows what it wants may not be kept for ever:
whoever opens a thousand and says nothing would keep all others out, without a token.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 10.0
"""From the connection, or the first byte of another request, to the end of its headers. Ours come in one packet."""


class Request(HttpToolsProtocol):
    """Uvicorn's connection; it ends if the head of a request is not there in time."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Another request has begun on a connection that was kept."""
        super().on_message_begin()
        if self._late is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """It is known what is wanted."""
        self._wait_no_longer()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEAD_S, self._give_up)

    def _wait_no_longer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        self.transport.abort()

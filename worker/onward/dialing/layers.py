"""TLS within TLS for blocking code, which the standard library's sockets cannot do: an engine behind an https proxy."""

from __future__ import annotations

import io
import ssl
from typing import Any, Final

CHUNK_BYTES: Final = 64 * 1024


class Layer:
    """A TLS connection over another one, with what `http.client` needs of a socket. Belongs to one thread at a time."""

    def __init__(self, below: ssl.SSLSocket, context: ssl.SSLContext, host: str) -> None:
        """Agree on encryption with whoever has a certificate for `host`. Raises `OSError`."""
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._users = 1
        self._shake_hands()

    def settimeout(self, seconds: float | None) -> None:
        """See `socket.settimeout`."""
        self._below.settimeout(seconds)

    def sendall(self, data: bytes) -> None:
        """See `socket.sendall`."""
        self._tls.write(data)
        self._flush()

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        """See `socket.recv_into`."""
        while True:
            try:
                count: Any = self._tls.read(len(buffer), buffer)  # bytes only without a buffer, unlike in its stub
                return int(count)
            except ssl.SSLWantReadError:
                self._flush()
                self._fetch()
            except ssl.SSLEOFError:  # whoever is killed says no goodbye
                return 0

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a file to read from. What is below stays open until it is closed too."""
        assert mode == "rb", "nobody else asks"
        self._users += 1
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Close it, unless somebody still reads."""
        self._users -= 1
        if self._users == 0:
            self._below.close()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fetch()
            else:
                self._flush()
                return

    def _fetch(self) -> None:
        if data := self._below.recv(CHUNK_BYTES):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._below.sendall(data)


class _Reader(io.RawIOBase):
    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._layer.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._layer.close()

"""TLS of the one port. Certificates are renewed while an engine runs, so their files are looked at for each new
connection, and read again when one has changed.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final

import structlog

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.engine")

Stamp = tuple[tuple[int, int, int, int] | None, ...]


class CannotEncrypt(Exception):
    """The files cannot be used, in words that say which."""


class Outspoken(ssl.SSLObject):
    """Tells a client why it is not let in: event loops would close the connection without a word."""

    has_greeted = False
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake. What makes it fail is raised only after the client was told."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as failure:
            if not self.has_greeted:  # nobody who speaks TLS
                raise
            self._failure = failure
            raise ssl.SSLWantReadError from failure  # the loop sends what there is, and waits: the client will leave


class Certificates:
    """The engine's own certificate, and whose certificates it wants to see of its clients; None: it asks for none.
    Raises `CannotEncrypt`.
    """

    def __init__(self, cert: Path, key: Path | None = None, client_ca: Path | None = None) -> None:
        self._cert: Final = cert
        self._key: Final = key
        self._client_ca: Final = client_ca
        self._stamp = self._stamped()
        self._newest = self._made()

    def listening(self) -> ssl.SSLContext:
        """Return what to listen with for as long as the engine runs."""
        context = self._newest
        context.sslobject_class = Outspoken
        context.sni_callback = self._greeted
        return context

    def _greeted(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """A client has said hello, with the name that it looks for or without; what is newest counts from here on."""
        del name, context
        assert isinstance(connection, Outspoken)
        connection.has_greeted = True
        stamp = self._stamped()
        if stamp != self._stamp:
            self._stamp = stamp
            self._renew()
        connection.context = self._newest

    def _renew(self) -> None:
        try:
            self._newest = self._made()
        except CannotEncrypt as error:
            _log.error("new certificate cannot be used, the one before stays", reason=str(error))
        else:
            _log.info("new certificate is used", file=str(self._cert))

    def _made(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self._client_ca)
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            named = ", ".join(str(file) for file in self._files)
            raise CannotEncrypt(f"TLS cannot be set up with {named}: {reason}.") from error
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0  # whoever comes back is looked at again
        return context

    def _stamped(self) -> Stamp:
        return tuple(map(_stamp, self._files))

    @property
    def _files(self) -> list[Path]:
        return [file for file in (self._cert, self._key, self._client_ca) if file is not None]


def _stamp(file: Path) -> tuple[int, int, int, int] | None:
    """Return what changes whenever a file is replaced or written."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _no_password() -> str:
    """Without this, OpenSSL asks for it at the terminal."""
    raise CannotEncrypt("The engine's key is encrypted: give it without a password.")

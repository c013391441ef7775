"""Whom we trust, and what we show of ourselves: TLS with the certificates of a `Way`."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import Final

from onward.dialing.way import Way
from onward.errors import ConfigError

Stamp = tuple[tuple[int, int, int, int] | None, ...]


class Trust:
    """Makes the contexts of TLS connections, and makes them again when a file has changed. Safe to use from threads:
    at worst two of them make the same.
    """

    def __init__(self, way: Way) -> None:
        self._way: Final = way
        self._engine: tuple[Stamp, ssl.SSLContext] | None = None
        self._proxy: tuple[Stamp, ssl.SSLContext] | None = None

    def to_engine(self) -> ssl.SSLContext:
        """Return what the engine is spoken to with. Raises `ConfigError` if a file cannot be used."""
        files = (self._way.ca_file, self._way.client_cert, self._way.client_key)
        self._engine = _fresh(self._engine, files, self._make_for_engine)
        return self._engine[1]

    def to_proxy(self) -> ssl.SSLContext:
        """Return what an https proxy is spoken to with: it may be trusted by the system as well, and is shown nothing
        of us.
        """
        self._proxy = _fresh(self._proxy, (self._way.ca_file,), self._make_for_proxy)
        return self._proxy[1]

    def _make_for_engine(self) -> ssl.SSLContext:
        way = self._way
        context = ssl.create_default_context(cafile=_file("--ca-file (ONWARD_CA_FILE)", way.ca_file))
        if way.client_cert:
            context.load_cert_chain(
                _file("--client-cert (ONWARD_CLIENT_CERT)", way.client_cert) or "",
                _file("--client-key (ONWARD_CLIENT_KEY)", way.client_key),
                password=_no_password,
            )
        return context

    def _make_for_proxy(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._way.ca_file:
            context.load_verify_locations(_file("--ca-file (ONWARD_CA_FILE)", self._way.ca_file))
        return context


def _fresh(
    kept: tuple[Stamp, ssl.SSLContext] | None, files: tuple[str, ...], make: Callable[[], ssl.SSLContext]
) -> tuple[Stamp, ssl.SSLContext]:
    """Reading the system's certificates takes some ten milliseconds, and is not repeated for each request."""
    stamp = tuple(map(_stamp, files))
    if kept is not None and kept[0] == stamp:
        return kept
    try:
        return stamp, make()
    except (ssl.SSLError, OSError) as error:
        named = ", ".join(repr(file) for file in files if file)
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise ConfigError(f"TLS cannot be set up with {named}: {reason}", code="E0407") from error


def _stamp(file: str) -> tuple[int, int, int, int] | None:
    """Return what changes whenever a file is replaced or written."""
    try:
        found = os.stat(file) if file else None
    except OSError:
        return None
    return found and (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def _file(option: str, name: str) -> str | None:
    """OpenSSL does not say which file it could not read."""
    if not name:
        return None
    try:
        with open(name, "rb"):
            return name
    except OSError as error:
        raise ConfigError(f"{option} is {name!r}, which cannot be read: {error.strerror}", code="E0407") from error


def _no_password() -> str:
    """Nobody sits at a worker's terminal: without this, OpenSSL asks there for the password of an encrypted key."""
    raise ConfigError("the client's key is encrypted; give it without a password", code="E0407")

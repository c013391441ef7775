"""Where the engine is and how to prove who we are, read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from onward.dialing.way import Way, proxy_variables
from onward.errors import ConfigError

URL_DEFAULT: Final = "http://127.0.0.1:8484"
TOKEN_BYTES_MAX: Final = 4096  # half of what servers take as one header


class Settings(Struct, frozen=True, kw_only=True):
    """The engine's address, the token, and the way there. `token_file` is read again for every use, so that a token can
    be rotated in place; so are the files of the `way`.
    """

    url: str = URL_DEFAULT
    plain_token: str = ""
    token_file: str = ""
    way: Way = Way()

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        url: str | None = None,
        token: str | None = None,
        proxy: str | None = None,
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
    ) -> Settings:
        """Return the settings of ONWARD_URL, ONWARD_TOKEN, ONWARD_TOKEN_FILE, ONWARD_PROXY, ONWARD_CA_FILE,
        ONWARD_CLIENT_CERT and ONWARD_CLIENT_KEY; arguments come first. Raises `ConfigError`.
        """
        _check_text("url", url)
        _check_text("token", token)
        named = {"proxy": proxy, "ca_file": ca_file, "client_cert": client_cert, "client_key": client_key}
        chosen = _checked_url(url or environ.get("ONWARD_URL") or URL_DEFAULT)
        plain = environ.get("ONWARD_TOKEN", "") if token is None else token
        file = "" if plain else environ.get("ONWARD_TOKEN_FILE", "")
        return cls(url=chosen, plain_token=plain, token_file=file, way=_way(environ, named))

    def changed(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        token_file: str | None = None,
        **way: str | None,
    ) -> Settings:
        """Return these with other values for what is given; `way` are fields of that. Raises `ConfigError`."""
        settings = replace(self, way=_changed_way(self.way, way))
        if url:
            settings = replace(settings, url=_checked_url(url))
        if token_file:
            settings = replace(settings, plain_token="", token_file=token_file)
        return settings if token is None else replace(settings, plain_token=token, token_file="")

    def token(self) -> str:
        """Return the token as it is now; empty if none is set. Raises `ConfigError` if there is none in its file."""
        if not self.token_file:
            return checked_token(self.plain_token, "the token")
        try:
            with open(self.token_file, "rb") as file:
                token = file.read(TOKEN_BYTES_MAX + 1).strip()
        except OSError as error:
            raise ConfigError(
                f"the token file {self.token_file!r} cannot be read: {error.strerror}.", code="E0115"
            ) from error
        if not token:
            raise ConfigError(f"the token file {self.token_file!r} is empty.", code="E0115")
        return checked_token(token.decode("latin-1"), f"what is in the token file {self.token_file!r}")

    def __repr__(self) -> str:
        shown = f"file {self.token_file!r}" if self.token_file else "***" if self.plain_token else "none"
        return f"Settings(url={self.url!r}, token={shown}, way={self.way!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what a traceback with variables may show: otherwise it would be every field."""
        return [("url", self.url), ("token_file", self.token_file), ("way", self.way)]


def _way(environ: Mapping[str, str], named: Mapping[str, str | None]) -> Way:
    chosen = {name: given or environ.get(f"ONWARD_{name.upper()}") for name, given in named.items()}
    return _changed_way(Way(variables=proxy_variables(environ)), chosen)


def _changed_way(way: Way, named: Mapping[str, str | None]) -> Way:
    for option, given in named.items():
        _check_text(option, given)
    return way.changed(named)


def checked_token(token: str, what: str) -> str:
    """Return a token, or raise `ConfigError` that names `what`. A library that meets a wrong header shows all of it."""
    if len(token) > TOKEN_BYTES_MAX or not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            f"{what} cannot be a token: it is too long, or has spaces or special characters.", code="E0402"
        )
    return token


def _check_text(option: str, given: object) -> None:
    if given is not None and not isinstance(given, str):  # which may be the token: only its type is told
        raise ConfigError(f"option '{option}' is a {type(given).__name__}, and has to be a str.", code="E0123")


def _checked_url(url: str) -> str:
    if problem := _url_problem(url):
        raise ConfigError(f"the engine's address {problem}.", code="E0114")
    return url.rstrip("/")


def _url_problem(url: str) -> str:
    """Say what is wrong, in words that continue "the engine's address ..."; never what may be a password."""
    if "@" in url:
        return "has a user name in it; the engine asks for a token only"
    if not url.startswith(("http://", "https://")):
        return f"{url!r} does not begin with http:// or https://"
    if " " in url or not url.isprintable():
        return f"{url!r} has spaces or special characters in it"
    if "?" in url or "#" in url:
        return f"{url!r} has more behind its path"
    try:
        parts = urlsplit(url)
        wrong = parts.hostname is None or parts.port == 0
    except ValueError as error:
        return f"{url!r} is no URL: {error}"
    return f"{url!r} has no host" if wrong else ""

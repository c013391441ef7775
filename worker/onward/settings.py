"""Where the engine is and how to prove who we are, read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from onward.errors import ConfigError

URL_DEFAULT: Final = "http://127.0.0.1:8484"


class Settings(Struct, frozen=True, kw_only=True):
    """The engine's address and the token. `token_file` is read again for every use, so that a token can be rotated in
    place.
    """

    url: str = URL_DEFAULT
    plain_token: str = ""
    token_file: str = ""

    @classmethod
    def read(
        cls, environ: Mapping[str, str] = os.environ, *, url: str | None = None, token: str | None = None
    ) -> Settings:
        """Return the settings of ONWARD_URL, ONWARD_TOKEN and ONWARD_TOKEN_FILE; arguments come first."""
        chosen = url or environ.get("ONWARD_URL") or URL_DEFAULT
        if not chosen.startswith(("http://", "https://")):
            raise ConfigError(f"the engine's address {chosen!r} does not begin with http:// or https://.", code="E0114")
        plain = environ.get("ONWARD_TOKEN", "") if token is None else token
        file = "" if plain else environ.get("ONWARD_TOKEN_FILE", "")
        return cls(url=chosen.rstrip("/"), plain_token=plain, token_file=file)

    def token(self) -> str:
        """Return the token as it is now; empty if there is none. Raises `ConfigError` if its file cannot be read."""
        if not self.token_file:
            return self.plain_token
        try:
            with open(self.token_file, encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            raise ConfigError(
                f"the token file {self.token_file!r} cannot be read: {error.strerror}.", code="E0115"
            ) from error

    def __repr__(self) -> str:
        shown = f"file {self.token_file!r}" if self.token_file else "***" if self.plain_token else "none"
        return f"Settings(url={self.url!r}, token={shown})"

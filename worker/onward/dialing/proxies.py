"""A proxy's address, taken apart."""

from __future__ import annotations

from typing import Any, Final, Literal, cast
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from onward.dialing.bypass import normal
from onward.errors import ConfigError

Scheme = Literal["http", "https", "socks5h"]

PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443, "socks5h": 1080}
# Names are always resolved by the proxy: from behind a firewall there is often nobody to ask.
_SAME: Final[dict[str, Scheme]] = {"socks": "socks5h", "socks5": "socks5h"}
_SOCKS_BYTES_MAX: Final = 255  # its lengths are one byte


class Proxy(Struct, frozen=True):
    """Somebody who connects us to others. As text it has no password."""

    scheme: Scheme
    host: str
    port: int
    user: str = ""
    password: str = ""

    @property
    def has_user(self) -> bool:
        """Whether it is told who we are."""
        return bool(self.user or self.password)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{f'{self.user}:***@' if self.has_user else ''}{host}:{self.port}"

    __repr__ = __str__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what a traceback with variables may show: otherwise it would be every field."""
        return [("address", str(self))]


def parse_proxy(text: str, what: str) -> Proxy:
    """Return the proxy at an address such as "http://user:password@host:3128", or "host:3128". Raises `ConfigError`
    with `what` in it, and never a password.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        proxy = _proxy(parts)
        problem = _problem(parts, proxy)
    except ValueError:
        # `urlsplit` repeats what it was given, and a password may stand where it looks for a port.
        raise _wrong(what, "is no address of a host and a port") from None
    if problem:
        raise _wrong(what, problem)
    return proxy


def _proxy(parts: SplitResult) -> Proxy:
    scheme = _SAME.get(parts.scheme, cast("Scheme", parts.scheme))
    return Proxy(
        scheme,
        normal(parts.hostname or ""),
        parts.port or PORTS.get(scheme, 0),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _problem(parts: SplitResult, proxy: Proxy) -> str:
    if proxy.scheme not in PORTS:
        return f"begins with {parts.scheme}://, and may be http://, https:// or socks5h://"
    if not proxy.host or parts.port == 0:
        return "has no host" if not proxy.host else "has the port 0"
    if " " in proxy.host or not proxy.host.isprintable():
        return "has a host with spaces or special characters"
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        return "has more behind the port"
    return _user_problem(proxy)


def _user_problem(proxy: Proxy) -> str:
    if proxy.scheme == "socks5h" and max(len(proxy.user.encode()), len(proxy.password.encode())) > _SOCKS_BYTES_MAX:
        return f"has a user or a password of more than {_SOCKS_BYTES_MAX} bytes, which SOCKS cannot carry"
    if ":" in proxy.user and proxy.scheme != "socks5h":
        return "has a user with a colon in it, which HTTP cannot carry"
    return ""


def _wrong(what: str, problem: str) -> ConfigError:
    return ConfigError(f"the proxy that {what} names {problem}", code="E0406")

"""How the engine is reached: which proxy, which certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct, field, structs

from onward.dialing.bypass import bypassed_by, is_loopback, normal
from onward.dialing.proxies import Proxy, parse_proxy
from onward.errors import ConfigError

DIRECT: Final = "direct"
OWN: Final = "--proxy (ONWARD_PROXY)"
VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Target(Struct, frozen=True):
    """Where an engine is."""

    host: str
    port: int
    is_tls: bool

    @property
    def name(self) -> str:
        """What a Host header has: without the port that the scheme implies."""
        return str(self).removesuffix(f":{_port(self.is_tls)}")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Choice(Struct, frozen=True):
    """The proxy for a target, or None; and the reason, which is what has decided it."""

    proxy: Proxy | None
    reason: str


class Way(Struct, frozen=True, kw_only=True):
    """How to reach the engine. Everything is looked up again at each attempt: the files may have changed meanwhile.

    `proxy` is the address of one, or "direct"; empty: what `variables` say, which are those of the environment that
    everybody reads. `ca_file` has the certificates that are trusted, instead of the system's; `client_cert` and
    `client_key` (which may be in the same file) are what the engine is shown of us.
    """

    proxy: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""

    def choice(self, url: str) -> Choice:
        """Return the proxy for an engine, and why. Raises `ConfigError` if its address is wrong."""
        address, reason = self._chosen(url)
        return Choice(parse_proxy(address, OWN if reason == "--proxy" else reason) if address else None, reason)

    def settled(self, url: str) -> Way:
        """Return the same way to one engine, without a look at the environment."""
        address, _ = self._chosen(url)
        return structs.replace(self, proxy=address or DIRECT, variables={})

    def _chosen(self, url: str) -> tuple[str, str]:
        if self.proxy:
            return ("" if self.proxy == DIRECT else self.proxy), "--proxy"
        target = target_of(url)
        if is_loopback(target.host):
            return "", "this machine"
        name = self._variable("https_proxy", "all_proxy") if target.is_tls else self._plain_variable()
        if not name:
            return "", "no proxy is set"
        if entry := bypassed_by(self.variables.get(self._variable("no_proxy"), ""), target.host, target.port):
            return "", f"NO_PROXY entry {entry}"
        return self.variables[name], name

    def changed(self, named: Mapping[str, str | None]) -> Way:
        """Return this with other values for the fields that are named and not empty. Raises `ConfigError` about what is
        wrong before anything is dialled.
        """
        way = structs.replace(self, **{name: given for name, given in named.items() if given})
        way._check()
        return way

    def _check(self) -> None:
        if self.proxy and self.proxy != DIRECT:
            parse_proxy(self.proxy, OWN)
        if self.client_key and not self.client_cert:
            raise ConfigError(
                "--client-key (ONWARD_CLIENT_KEY) is set and --client-cert (ONWARD_CLIENT_CERT) is not", code="E0407"
            )

    def _plain_variable(self) -> str:
        """A proxy for https:// does for http:// too: both are asked for a tunnel."""
        return self._variable("http_proxy", "https_proxy", "all_proxy")

    def _variable(self, *names: str) -> str:
        """Return the first variable that is set, as it is written; small letters go first."""
        spelled = (spelling for name in names for spelling in (name, name.upper()))
        return next((spelling for spelling in spelled if self.variables.get(spelling)), "")

    def __repr__(self) -> str:
        """An address may have a password in it."""
        files = f"ca_file={self.ca_file!r}, client_cert={self.client_cert!r}, client_key={self.client_key!r}"
        return f"Way({'proxy, ' if self.proxy else ''}{files})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what a traceback with variables may show: otherwise it would be every field."""
        return [("ca_file", self.ca_file), ("client_cert", self.client_cert), ("client_key", self.client_key)]


def proxy_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables about proxies. HTTP_PROXY of a CGI script may be a header that anybody has sent."""
    names = {spelling for name in VARIABLES for spelling in (name, name.upper())}
    if "REQUEST_METHOD" in environ:
        names.discard("HTTP_PROXY")
    return {name: environ[name] for name in sorted(names) if environ.get(name)}


def target_of(url: str) -> Target:
    """Return where the engine at an http(s) URL is."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    return Target(normal(parts.hostname or ""), parts.port or _port(is_tls), is_tls)


def _port(is_tls: bool) -> int:
    return 443 if is_tls else 80

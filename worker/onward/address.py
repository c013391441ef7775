"""What an engine's URL means: where its socket is, and whether it may be used without encryption."""

from __future__ import annotations

from urllib.parse import urlsplit

from onward.dialing import bypass
from onward.dialing.way import Way
from onward.errors import ConfigError


def socket_url(url: str) -> str:
    """Return the WebSocket address of the engine at an http(s) URL. Raises `ConfigError` when it is none."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"the engine's address must look like http://host:port or https://host, not {url!r}", code="E0114"
        )
    return f"{parts.scheme.replace('http', 'ws')}://{parts.netloc}{parts.path.rstrip('/')}/connect"


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine, whatever the network."""
    return bypass.is_loopback(urlsplit(url).hostname or "")


def check_privacy(url: str, *, insecure: bool, way: Way | None = None) -> None:
    """Raise `ConfigError` if tokens and data would cross a network in the clear and nobody has asked for that. What a
    proxy calls 127.0.0.1 is the proxy's machine.
    """
    is_here = is_loopback(url) and (way is None or way.choice(url).proxy is None)
    if url.startswith("http://") and not is_here and not insecure:
        raise ConfigError(f"{url} would carry the token and all data unencrypted", code="E0404")

"""Who is reached without a proxy: NO_PROXY, of which every program has its own idea. This one takes all that is usual.

| entry | means |
|---|---|
| `*` | everybody |
| `example.com`, `.example.com`, `*.example.com` | this name and all below it |
| `.svc` | all names that end so |
| `10.1.2.3`, `fd00::1`, `[fd00::1]` | this address |
| `10.0.0.0/8`, `fd00::/8` | addresses in this network; names are not resolved for it |
| any of these with `:8484` behind it (IPv6 in brackets) | the same, on this port only |
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress

_PORT = re.compile(r"^(?P<host>\[[^\]]*\](?:/\d+)?|[^:]*):(?P<port>\d+)$")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def bypassed_by(entries: str, host: str, port: int) -> str:
    """Return the first entry of a NO_PROXY that means this host and port; empty if none does."""
    name, address = normal(host), address_of(host)
    for entry in entries.replace(",", " ").split():
        if _means(entry.lower(), name, address, port):
            return entry
    return ""


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, whatever the network."""
    address = address_of(host)
    return address.is_loopback if address is not None else normal(host) == "localhost"


def normal(host: str) -> str:
    """Return a name as it is compared and sent: lower case, ASCII, without the dot at its end."""
    with suppress(UnicodeError):  # the resolver will say what is wrong with it
        host = host if host.isascii() else host.encode("idna").decode()
    return host.lower().removesuffix(".")


def address_of(host: str) -> Address | None:
    """Return the address that a host is; None if it is a name."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _means(entry: str, name: str, address: Address | None, port: int) -> bool:
    if with_port := _PORT.match(entry):
        if with_port["port"].lstrip("0") != str(port):
            return False
        entry = with_port["host"]
    if entry == "*":
        return True
    if address is not None:
        return _has_address(entry, address)
    domain = normal(entry.removeprefix("*").lstrip("."))
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _has_address(entry: str, address: Address) -> bool:
    try:
        network = ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
    return address in network

"""Reads of a certificate what a person asks about it: whose it is, who says so, and until when.

Python shows the fields of a certificate only once it has accepted it, and those that are not accepted are the ones of
interest here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Struct

_UTC_TIME, _EXTENSIONS, _VERSION, _DNS_NAME, _IP_ADDRESS = 0x17, 0xA3, 0xA0, 0x82, 0x87
_COMMON_NAME, _ORGANIZATION, _ALTERNATIVE_NAMES = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x1d\x11"

Item = tuple[int, bytes]


class Certificate(Struct, frozen=True, kw_only=True):
    """A certificate as it was presented, whether it is to be believed or not. Moments are in UTC."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    is_self_signed: bool

    def covers(self, host: str) -> bool:
        """Tell whether it is a certificate for this host."""
        return any(_matches(name.lower(), host.lower()) for name in self.names)


def read_certificate(der: bytes) -> Certificate:
    """Return what is in a certificate. Raises `ValueError` if it is none."""
    try:
        return _read(der)
    except IndexError as error:
        raise ValueError("this is no certificate") from error


def _read(der: bytes) -> Certificate:
    [(_, outer)] = _items(der)
    fields = [item for item in _items(_first(outer)) if item[0] != _VERSION]
    _, _, (_, issuer), (_, validity), (_, subject), *rest = fields
    begins, ends = (_moment(item) for item in _items(validity))
    return Certificate(
        subject=_name(subject),
        issuer=_name(issuer),
        names=tuple(_alternative_names(rest)) or (_name(subject),),
        begins=begins,
        ends=ends,
        is_self_signed=issuer == subject,
    )


def _items(data: bytes) -> Iterator[Item]:
    """Yield (tag, content) of each value in DER."""
    place = 0
    while place < len(data):
        tag, length = data[place], data[place + 1]
        place += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[place : place + count])
            place += count
        if place + length > len(data):
            raise ValueError("this is no certificate: it ends too early")
        yield tag, data[place : place + length]
        place += length


def _first(data: bytes) -> bytes:
    """Return the content of the first value."""
    for _, content in _items(data):
        return content
    raise ValueError("this is no certificate: something in it is empty")


def _name(data: bytes) -> str:
    """Return what a name is called: its common name, and whose it is."""
    found: dict[bytes, str] = {}
    for _, group in _items(data):
        for _, pair in _items(group):
            (_, kind), (_, text) = _items(pair)
            found[kind] = text.decode(errors="replace")
    words = [found[kind] for kind in (_COMMON_NAME, _ORGANIZATION) if kind in found]
    return ", ".join(dict.fromkeys(words)) or "a nameless one"


def _moment(item: Item) -> datetime:
    tag, data = item
    text = data.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 and above are of the last century
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _alternative_names(rest: list[Item]) -> Iterator[str]:
    for tag, data in rest:
        if tag == _EXTENSIONS:
            for _, extension in _items(_first(data)):
                (_, kind), *_, (_, value) = _items(extension)
                if kind == _ALTERNATIVE_NAMES:
                    yield from _hosts(_first(value))


def _hosts(data: bytes) -> Iterator[str]:
    for tag, value in _items(data):
        if tag == _DNS_NAME:
            yield value.decode("latin-1")
        elif tag == _IP_ADDRESS:
            yield str(ipaddress.ip_address(value))


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:] and not host.startswith(".")
    return pattern == host

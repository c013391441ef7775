"""Values inside JSON documents, found by a path and compared as text.

Two values are equal when their canonical texts are: keys sorted, no spaces, 1 and 1.0 alike. What a path does not
find is `null`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import cast

import msgspec
from onward_protocol.messages import Event

NULL = b"null"

_INDEX_BYTES_MAX = 128  # longer values are compared by their hash, so that an index row stays small
INT64 = 2**63
"""Up to here 1e18 and 1000000000000000000 are written alike. What is larger stays as its sender wrote it."""

_json_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json_items = msgspec.json.Decoder(list[msgspec.Raw])
_packed_fields = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_sorted = msgspec.json.Encoder(order="sorted")

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError)


def find(document: bytes, path: str) -> bytes:
    """Return the canonical text of the value at `path` (`customer.id`, `items.0`); an empty path is the whole document.

    Each level is decoded only as far as the next step of the path, so that the rest of a large document costs a scan
    and no objects.
    """
    value = document
    for part in path.split(".") if path else ():
        try:
            value = _member(value, part)
        except _UNREADABLE:
            return NULL
    return canonical(value)


def find_packed(document: bytes, path: str) -> bytes:
    """Return the same for a MessagePack document."""
    value = document
    try:
        for part in path.split(".") if path else ():
            value = bytes(_packed_fields.decode(value).get(part, b"\xc0"))
        return canonical(msgspec.json.encode(msgspec.msgpack.decode(value)))
    except (*_UNREADABLE, TypeError):
        return NULL


def find_in_event(event: Event, path: str) -> bytes:
    """Return the canonical text of `event.data.customer`, `event.name`, `event.key` and the like; any other path is
    one of the data.
    """
    head, _, rest = path.removeprefix("event.").partition(".")
    if not path.startswith("event."):
        return find(event.data, path)
    match head:
        case "data":
            return find(event.data, rest)
        case "name" | "id" | "key":
            return msgspec.json.encode(str(getattr(event, head)))
        case "ts":
            return str(event.ts_ms).encode()
        case _:
            return NULL


def canonical(text: bytes) -> bytes:
    """Return the one text that stands for all equal JSON values."""
    try:
        return _sorted.encode(_plain(msgspec.json.decode(text)))
    except _UNREADABLE:
        return NULL


def index_key(value: bytes) -> bytes:
    """Shorten a canonical text to what an index keeps."""
    return value if len(value) <= _INDEX_BYTES_MAX else b"#" + blake2b(value, digest_size=16).hexdigest().encode()


def _member(value: bytes, part: str) -> bytes:
    if part.isdecimal() and value.lstrip()[:1] == b"[":
        items = _json_items.decode(value)
        return bytes(items[int(part)]) if int(part) < len(items) else NULL
    return bytes(_json_fields.decode(value).get(part, NULL))


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and -INT64 <= value < INT64:
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[object]", value)]
    return value

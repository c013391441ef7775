"""How a payload says that middleware has made it: a MessagePack map with one key that no field of anybody's has.

It stays MessagePack, so that the engine, its API and its people can handle it like any other value.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_MAP_OF_ONE: Final = b"\x81"


class Mark:
    """One such key, such as "$encrypted"."""

    def __init__(self, key: str) -> None:
        self.key: Final = key
        self._head: Final = _MAP_OF_ONE + msgspec.msgpack.encode(key)

    def put(self, value: object) -> bytes:
        """Return a payload that says `value`."""
        return self._head + msgspec.msgpack.encode(value)

    def is_on(self, payload: bytes) -> bool:
        """Tell whether the payload was made by `put`."""
        return payload.startswith(self._head)

    def value(self, payload: bytes) -> Any:
        """Return what `put` was given, as plain data."""
        return msgspec.msgpack.decode(memoryview(payload)[len(self._head) :])

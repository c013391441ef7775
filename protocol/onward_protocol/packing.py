"""Frames made smaller for the way, by a compression that both ends have.

The compression itself comes from outside: this package stands on msgspec alone. What little may become is bounded, so
that a few bytes cannot keep the other end busy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from onward_protocol.codec import encode
from onward_protocol.errors import ProtocolError
from onward_protocol.limits import Limits
from onward_protocol.messages import Packed


class Decompressor(Protocol):
    """What the standard library's decompressors have in common."""

    def decompress(self, data: bytes, /, max_length: int) -> bytes:
        """Return at most so many bytes of what is in `data`."""
        ...

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What stands behind the end."""
        ...


@dataclass(frozen=True, slots=True)
class Packing:
    """One compression. `error` is what its decompressor raises for garbage."""

    name: str
    compress: Callable[[bytes], bytes]
    decompressor: Callable[[], Decompressor]
    error: type[Exception]


def pack(packing: Packing, data: bytes, limits: Limits) -> bytes:
    """Return an encoded frame as a `Packed` one, encoded, if that is smaller and the peer may unpack it."""
    if len(data) < limits.packed_bytes_min:
        return data
    small = packing.compress(data)
    packed = encode(Packed(small))
    return packed if len(packed) < len(data) <= unpacked_bytes_max(len(small), limits) else data


def unpack(packing: Packing, data: bytes, limits: Limits) -> bytes:
    """Return what was packed, an encoded frame. Raises `ProtocolError`."""
    bytes_max = unpacked_bytes_max(len(data), limits)
    decompressor = packing.decompressor()
    try:
        unpacked = decompressor.decompress(data, max_length=bytes_max + 1)
    except packing.error as error:
        raise ProtocolError("malformed", f"a packed frame: {error}") from error
    if len(unpacked) > bytes_max:
        raise ProtocolError("too_large", f"{len(data)} packed bytes become more than {bytes_max}")
    if not decompressor.eof or decompressor.unused_data:
        raise ProtocolError("malformed", "a packed frame that ends too early or too late")
    return unpacked


def unpacked_bytes_max(size: int, limits: Limits) -> int:
    """Return how much so many packed bytes may become."""
    return min(limits.frame_bytes_max, max(limits.part_threshold_bytes, limits.packed_ratio_max * size))

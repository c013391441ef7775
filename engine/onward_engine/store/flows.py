"""The limits of a run as they are stored."""

from __future__ import annotations

import msgspec

from ..model import Flow

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Flow, ...]).decode


def pack_flow(flow: tuple[Flow, ...]) -> bytes:
    """Return what is stored of a run's limits; nothing without one."""
    return _encode(flow) if flow else b""


def unpack_flow(data: bytes, key: str, limit: int) -> tuple[Flow, ...]:
    """Return a run's limits. `key` and `limit` are those of a run from when there was at most one."""
    if data:
        return _decode(data)
    return (Flow(f"concurrency {key}", "concurrency:0", limit),) if key else ()

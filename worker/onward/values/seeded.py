"""Values that look random and are the same on every replay: digests of the run and of the place that asks."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

_FRACTION_BITS = 53
"""What a float between 0 and 1 can hold."""


def fraction(run_id: str, key: str) -> float:
    """Return a number in [0, 1)."""
    return (int.from_bytes(_digest(run_id, key, 8), "big") >> 64 - _FRACTION_BITS) / (1 << _FRACTION_BITS)


def uuid(run_id: str, key: str) -> UUID:
    """Return a UUID of version 4."""
    return UUID(bytes=_digest(run_id, key, 16), version=4)


def _digest(run_id: str, key: str, size: int) -> bytes:
    return blake2b(key.encode(), digest_size=size, key=blake2b(run_id.encode(), digest_size=32).digest()).digest()

"""Ids and names: how they are made and what a valid one looks like.

Randomness and time come from the caller, so that a test decides them.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Literal

import msgspec

from onward_protocol.limits import Limits

Prefix = Literal["run", "evt", "wrk"]

RANDOM_BYTES = 10
"""How many random bytes an id takes."""

_TIME_DIGITS = 12
_TIME_END = 4 + _TIME_DIGITS
_VARIANTS = "89ab"
_PERSONS: dict[Prefix, bytes] = {"run": b"run", "evt": b"evt", "wrk": b"wrk"}
_ID = re.compile(r"(?:run|evt|wrk)_[0-9a-f]{12}[78][0-9a-f]{3}[89ab][0-9a-f]{15}")
_NAME_BYTES_MAX = Limits().name_bytes_max


def uuid7_id(prefix: Prefix, now_ms: int, random_bytes: bytes) -> str:
    """Return a new id: the prefix and the 32 hex digits of a UUIDv7, which sorts by `now_ms`.

    It takes `RANDOM_BYTES` random bytes.
    """
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    return _text(prefix, (now_ms.to_bytes(6, "big") + random_bytes).hex(), version=7)


def derived_id(prefix: Prefix, run: str, key: str, index: int = 0) -> str:
    """Return the id of what the step `key` of `run` makes, or what the event `run` starts.

    It is always the same one, so that making the thing again changes nothing. It begins with the time of what it comes
    from, so that a store finds it where it wrote last.
    """
    digits = blake2b(msgspec.msgpack.encode((run, key, index)), digest_size=16, person=_PERSONS[prefix]).hexdigest()
    if _ID.fullmatch(run) is not None:
        digits = run[4:_TIME_END] + digits[_TIME_DIGITS:]
    return _text(prefix, digits, version=8)


def is_id(text: str, prefix: Prefix) -> bool:
    """Tell whether `text` is an id that this module could have made."""
    return text.startswith(prefix) and _ID.fullmatch(text) is not None


def name_problem(text: str, bytes_max: int = _NAME_BYTES_MAX) -> str | None:
    """Say what is wrong with a name, key or id, in words that continue "the name ..."; None if nothing is."""
    if not text:
        return "is empty"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > bytes_max:
        return f"is {size} bytes long; {bytes_max} are allowed"
    return None if text.isprintable() else "contains a character that cannot be printed"


def _text(prefix: Prefix, digits: str, version: int) -> str:
    variant = _VARIANTS[int(digits[16], 16) & 3]
    return f"{prefix}_{digits[:12]}{version}{digits[13:16]}{variant}{digits[17:]}"

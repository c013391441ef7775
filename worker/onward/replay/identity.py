"""What a recorded step is compared with on a replay: where it is called, and with which arguments. Four bytes each."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping, Sequence
from os.path import dirname, join
from types import CodeType, FrameType
from typing import Any, Final

import msgspec
from msgspec import Struct

_PACKAGE: Final = join(dirname(dirname(__file__)), "")
"""The folder of the SDK: between the user's function and the question stand only frames of its own."""
_encoder: Final = msgspec.msgpack.Encoder(order="deterministic")
_sites: Final[dict[int, tuple[int, CodeType]]] = {}
"""By the code's address, with the code so that the address stays taken: hashing code objects is slow."""

_NOWHERE: Final = 0
_PASSED: Final = -1
_TASK_BEGINNINGS: Final = ("fire", "create_task")


class Identity(Struct, frozen=True):
    """Hashes of the call's site and arguments; 0 where they cannot be told."""

    site: int
    args: int


def identity_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Identity:
    """Return the identity of the step call that the caller's caller makes."""
    caller = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] - where the call stands is the question
    return Identity(_site_of(caller), hash_of((args, kwargs)))


def _site_of(frame: FrameType | None) -> int:
    """Hash the name path of the calling function. A call that is a task by itself, as in `gather`, has none."""
    while frame is not None:
        code = frame.f_code
        known = _sites.get(id(code))
        if known is None:
            known = _sites[id(code)] = (_site_hash(code), code)
        if known[0] != _PASSED:
            return known[0]
        frame = frame.f_back
    return 0


def _site_hash(code: CodeType) -> int:
    if not code.co_filename.startswith(_PACKAGE):
        return zlib.crc32(code.co_qualname.encode())
    return _NOWHERE if code.co_name in _TASK_BEGINNINGS else _PASSED


def hash_of(values: object) -> int:
    """Hash the encoded values; 0 if something in them has no encoding of its own, such as a client object."""
    try:
        return zlib.crc32(_encoder.encode(values))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return 0

"""Frames to bytes and back.

Every failure to decode becomes a `ProtocolError` here and nowhere else. Decoding nests as deep as the input does, so it
belongs on threads with an ordinary stack (8 MiB): there too deep an input ends in an error, on a tiny stack it would
end the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar, get_args

import msgspec
from msgspec.msgpack import Decoder, Encoder

from onward_protocol.errors import ProtocolError
from onward_protocol.messages import EngineEntry, EngineFrame, Wire, WorkerEntry, WorkerFrame

T = TypeVar("T")

Buffer = bytes | bytearray | memoryview

# Seen in mutated frames: all of these, not only msgspec's own.
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, ValueError, OverflowError)


class _Kind(msgspec.Struct, array_like=True):
    """Only the tag of a frame or entry: what can be said about one that is unknown."""

    tag: int


_encoder = Encoder()
_worker_message = Decoder(list[WorkerFrame])
_engine_message = Decoder(list[EngineFrame])
_worker_frame: Decoder[WorkerFrame] = Decoder(WorkerFrame)
_engine_frame: Decoder[EngineFrame] = Decoder(EngineFrame)
_worker_entries = Decoder(list[WorkerEntry])
_engine_entries = Decoder(list[EngineEntry])
_kinds = Decoder(list[_Kind])
_kind = Decoder(_Kind)


def tag_of(kind: type[Wire]) -> int | str:
    """Return the tag of a frame, entry, wait or outcome type."""
    tag = kind.__struct_config__.tag
    if tag is None:
        raise TypeError(f"{kind.__name__} has no tag")
    return tag


_WORKER_TAGS = frozenset(map(tag_of, get_args(WorkerFrame)))
_ENGINE_TAGS = frozenset(map(tag_of, get_args(EngineFrame)))
_WORKER_ENTRY_TAGS = frozenset(map(tag_of, get_args(WorkerEntry)))
_ENGINE_ENTRY_TAGS = frozenset(map(tag_of, get_args(EngineEntry)))


def encode(value: Wire) -> bytes:
    """Encode one frame, entry or outcome."""
    return _encoder.encode(value)


def encode_message(frames: Sequence[Buffer]) -> bytes:
    """Put encoded frames into one message, in this order."""
    return b"".join((_array_header(len(frames)), *frames))


def decode_worker_message(data: Buffer) -> list[WorkerFrame]:
    """Decode what a worker sent. Raises `ProtocolError`."""
    return _decode(_worker_message, data, _WORKER_TAGS)


def decode_engine_message(data: Buffer) -> list[EngineFrame]:
    """Decode what an engine sent. Raises `ProtocolError`."""
    return _decode(_engine_message, data, _ENGINE_TAGS)


def decode_worker_frame(data: Buffer) -> WorkerFrame:
    """Decode one frame of a worker, put together from its parts. Raises `ProtocolError`."""
    return _decode(_worker_frame, data, _WORKER_TAGS)


def decode_engine_frame(data: Buffer) -> EngineFrame:
    """Decode one frame of an engine, put together from its parts. Raises `ProtocolError`."""
    return _decode(_engine_frame, data, _ENGINE_TAGS)


def encode_entries(entries: Iterable[WorkerEntry]) -> bytes:
    """Encode the entries of a Checkpoint or of a stored segment."""
    return _encoder.encode(tuple(entries))


def decode_entries(data: Buffer) -> list[WorkerEntry]:
    """Decode the entries of a Checkpoint or of a stored segment.

    Raises `ProtocolError`. It concerns that run only: the connection can go on.
    """
    return _decode(_worker_entries, data, _WORKER_ENTRY_TAGS)


def encode_engine_entries(entries: Iterable[EngineEntry]) -> bytes:
    """Encode entries that the engine wrote, for its store."""
    return _encoder.encode(tuple(entries))


def decode_engine_entries(data: Buffer) -> list[EngineEntry]:
    """Decode what `encode_engine_entries` made. Raises `ProtocolError`."""
    return _decode(_engine_entries, data, _ENGINE_ENTRY_TAGS)


def _decode(decoder: Decoder[T], data: Buffer, known: frozenset[int | str]) -> T:
    try:
        return decoder.decode(data)
    except _DECODE_ERRORS as error:
        raise _refusal(data, known, error) from error


def _refusal(data: Buffer, known: frozenset[int | str], error: Exception) -> ProtocolError:
    """Tell an unknown kind of frame or entry, which a newer peer may send, from plain garbage."""
    unknown = [kind.tag for kind in _kinds_in(data) if kind.tag not in known]
    if unknown:
        return ProtocolError("unknown_frame", f"this version of the protocol has no kind {unknown[0]} here")
    return ProtocolError("malformed", str(error))


def _kinds_in(data: Buffer) -> list[_Kind]:
    try:
        return _kinds.decode(data)
    except _DECODE_ERRORS:
        pass
    try:
        return [_kind.decode(data)]
    except _DECODE_ERRORS:
        return []


def _array_header(size: int) -> bytes:
    if size < 16:
        return bytes((0x90 | size,))
    if size < 1 << 16:
        return b"\xdc" + size.to_bytes(2, "big")
    return b"\xdd" + size.to_bytes(4, "big")

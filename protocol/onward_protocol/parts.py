"""Large frames in parts: cutting them up and putting them together.

A stream is the parts of one frame, numbered from 0. Parts of different streams may alternate. A stream that is not
complete when its connection ends is gone.
"""

from __future__ import annotations

from onward_protocol.codec import encode
from onward_protocol.errors import ProtocolError
from onward_protocol.limits import Limits
from onward_protocol.messages import Part


class Cutter:
    """One encoded frame on its way in parts."""

    __slots__ = ("_data", "_index", "_start", "stream")

    def __init__(self, stream: int, data: bytes) -> None:
        self.stream = stream
        self._data = memoryview(data)
        self._index = 0
        self._start = 0

    @property
    def left(self) -> int:
        """How many bytes were not taken yet."""
        return max(0, len(self._data) - self._start)

    def next(self, part_bytes: int) -> bytes:
        """Return the next part, encoded, with at most so much of the data."""
        end = self._start + part_bytes
        part = Part(self.stream, self._index, end >= len(self._data), bytes(self._data[self._start : end]))
        self._index += 1
        self._start = end
        return encode(part)


class Assembler:
    """The unfinished frames of one direction of a connection. What it keeps is bounded, whatever the peer sends."""

    __slots__ = ("_kept_bytes", "_limits", "_streams")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[int, list[bytes]] = {}
        self._kept_bytes = 0

    def add(self, part: Part) -> bytes | None:
        """Take a part; return the encoded frame if it was the last one of its stream. Raises `ProtocolError`."""
        pieces = self._streams.get(part.stream)
        if pieces is None:
            pieces = self._begin(part)
        if part.index != len(pieces):
            raise ProtocolError("bad_part", f"part {part.index} of stream {part.stream}, {len(pieces)} was expected")
        if not part.data:
            raise ProtocolError("bad_part", f"part {part.index} of stream {part.stream} is empty")
        pieces.append(part.data)
        self._kept_bytes += len(part.data)
        self._check_size(pieces)
        return self._finish(part.stream) if part.last else None

    def _begin(self, part: Part) -> list[bytes]:
        if len(self._streams) >= self._limits.streams_max:
            raise ProtocolError("bad_part", f"more than {self._limits.streams_max} streams at once")
        return self._streams.setdefault(part.stream, [])

    def _check_size(self, pieces: list[bytes]) -> None:
        if self._kept_bytes > self._limits.assembly_bytes_max:
            raise ProtocolError("too_large", f"unfinished frames of {self._kept_bytes} bytes")
        if self._kept_bytes > self._limits.frame_bytes_max < sum(map(len, pieces)):
            raise ProtocolError("too_large", f"a frame of more than {self._limits.frame_bytes_max} bytes")

    def _finish(self, stream: int) -> bytes:
        data = b"".join(self._streams.pop(stream))
        self._kept_bytes -= len(data)
        return data

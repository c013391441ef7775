"""Compressed frames: only if both ends want them and they get smaller, and never more than a peer may have to keep."""

from __future__ import annotations

import random
import zlib

import pytest
from onward_protocol.codec import encode, encode_message
from onward_protocol.errors import CloseCode, ProtocolError
from onward_protocol.limits import MIB, Limits
from onward_protocol.messages import Assign, Checkpoint, Packed, Part, WorkerFrame
from onward_protocol.packing import Packing, pack, unpacked_bytes_max
from onward_protocol.parts import Cutter

from tests.unit.protocol.pair import KIB, Pair, hello

DEFLATE = Packing("deflate", zlib.compress, zlib.decompressobj, zlib.error)
WORDS = random.Random(1).choices([b"order", b"customer", b"price", b"42", b"{", b"}"], k=2_000_000)


def text(size: int) -> bytes:
    """What compresses as real data does."""
    return b" ".join(WORDS[: size // 4 + 1])[:size]


def noise(size: int) -> bytes:
    return random.Random(2).randbytes(size)


def report(data: bytes, seq: int = 1) -> Checkpoint:
    return Checkpoint("run_a", 1, seq, data)


def pair(*, worker: bool = True, engine: bool = True) -> Pair:
    """Two ends of which both can compress, or only one wants to."""
    ends = Pair(hello(unpacks=("deflate",) if worker else ()), packing=DEFLATE)
    ends.worker._packing = DEFLATE if worker else None
    ends.engine._packing = DEFLATE if engine else None
    return ends.open()


def carried(ends: Pair, frame: Checkpoint) -> int:
    """Carry a frame up and return how many bytes that took."""
    ends.worker.send(frame)
    size = 0
    while ends.write():
        size += sum(map(len, ends.up))
        while ends.up:
            ends.read_up()
        while ends.down:
            ends.read_down()
    assert [one for one in ends.at_engine if isinstance(one, Checkpoint)][-1] == frame
    return size


@pytest.mark.parametrize("size", [4 * KIB, 100 * KIB, 4 * MIB])
def test_what_compresses_takes_less_of_the_line_and_arrives_as_it_was(size: int) -> None:
    assert carried(pair(), report(text(size))) < size // 2


def test_the_way_down_is_compressed_too() -> None:
    ends = pair()
    assign = Assign("run_a", 1, "shop/order", 0, 1, input=text(MIB))
    ends.engine.send(assign)
    ends.exchange()
    assert ends.at_worker[-1] == assign
    assert ends.engine._outbox.flow._written < MIB // 2


@pytest.mark.parametrize(("worker", "engine"), [(True, False), (False, True), (False, False)])
def test_an_end_without_the_compression_gets_and_sends_everything_as_it_is(*, worker: bool, engine: bool) -> None:
    ends = pair(worker=worker, engine=engine)
    assert carried(ends, report(text(100 * KIB))) > 100 * KIB
    ends.engine.send(Assign("run_b", 1, "shop/order", 0, 1, input=text(100 * KIB)))
    ends.exchange()
    assert ends.engine._outbox.flow._written > 100 * KIB


@pytest.mark.parametrize("data", [text(4 * KIB - 1), noise(100 * KIB)])
def test_what_is_small_or_gets_no_smaller_travels_as_it_is(data: bytes) -> None:
    assert pack(DEFLATE, data, Limits()) == data


def test_what_would_be_refused_for_becoming_too_large_is_not_compressed() -> None:
    assert carried(pair(), report(bytes(4 * MIB))) > 4 * MIB


def read(*frames: WorkerFrame, data: bytes = b"") -> None:
    """Let an engine read a message."""
    pair().engine.receive(encode_message([*map(encode, frames), *([data] if data else [])]), 0)


def squeezed(frame: WorkerFrame) -> Packed:
    return Packed(zlib.compress(encode(frame)))


@pytest.mark.parametrize("size", [MIB, 40 * MIB, 100 * MIB])
def test_a_bomb_is_refused_before_it_goes_off(size: int) -> None:
    bomb = Packed(zlib.compress(bytes(size)))
    kept: list[int] = []

    class Watched:
        """Notes how much was asked for."""

        def __init__(self) -> None:
            self._inner = zlib.decompressobj()
            self.eof = False
            self.unused_data = b""

        def decompress(self, data: bytes, /, max_length: int) -> bytes:
            kept.append(max_length)
            return self._inner.decompress(data, max_length)

    ends = pair()
    ends.engine._packing = Packing("deflate", zlib.compress, Watched, zlib.error)
    with pytest.raises(ProtocolError, match="too_large") as caught:
        ends.engine.receive(encode_message([encode(bomb)]), 0)
    assert caught.value.close_code == CloseCode.TOO_LARGE
    assert kept == [unpacked_bytes_max(len(bomb.data), Limits()) + 1]


def test_little_may_become_a_frame_that_travels_whole_and_more_only_in_proportion() -> None:
    limits = Limits()
    assert [unpacked_bytes_max(size, limits) for size in (1, 1 * KIB, 4 * KIB, 10 * MIB)] == [
        256 * KIB,
        256 * KIB,
        1 * MIB,
        limits.frame_bytes_max,
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too early"),
        (b"garbage", "malformed"),
        (zlib.compress(encode(report(text(9_000))))[:-20], "too early"),
        (zlib.compress(encode(report(text(9_000)))) + b"more", "too late"),
        (zlib.compress(b"no frame"), "malformed"),
    ],
)
def test_garbage_inside_is_a_protocol_error(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        read(Packed(data))
    assert caught.value.close_code == CloseCode.PROTOCOL


def test_a_frame_is_packed_once_and_before_it_is_cut() -> None:
    frame = report(text(9_000))
    for nested in (squeezed(squeezed(frame)), squeezed(Part(0, 0, True, encode(frame)))):
        with pytest.raises(ProtocolError, match="out_of_turn"):
            read(nested)
    cutter = Cutter(0, encode(squeezed(frame)))
    while cutter.left:
        read(data=cutter.next(100_000))


def test_nobody_packs_before_the_welcome_or_without_being_told_that_it_can_be_undone() -> None:
    greeting = encode_message([encode(squeezed(hello()))])
    for ends in (Pair(packing=DEFLATE), pair(engine=False)):
        with pytest.raises(ProtocolError, match="packed frames were not agreed on"):
            ends.engine.receive(greeting, 0)

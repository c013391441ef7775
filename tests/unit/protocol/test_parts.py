from __future__ import annotations

from dataclasses import replace

import pytest
from onward_protocol.codec import decode_worker_frame
from onward_protocol.errors import ProtocolError
from onward_protocol.limits import Limits
from onward_protocol.messages import Part
from onward_protocol.parts import Assembler, Cutter

LIMITS = replace(Limits(), streams_max=2, frame_bytes_max=100, assembly_bytes_max=150)


def parts(stream: int, data: bytes, size: int = 10) -> list[Part]:
    cutter = Cutter(stream, data)
    result: list[Part] = []
    while cutter.left:
        part = decode_worker_frame(cutter.next(size))
        assert isinstance(part, Part)
        result.append(part)
    return result


@pytest.mark.parametrize("size", [1, 9, 10, 11, 20, 100])
def test_what_is_cut_is_put_together_again(size: int) -> None:
    assembler = Assembler(LIMITS)
    whole = [assembler.add(part) for part in parts(0, bytes(range(size)))]
    assert whole == [None] * (len(whole) - 1) + [bytes(range(size))]


def test_each_part_may_have_a_size_of_its_own() -> None:
    cutter, assembler = Cutter(0, bytes(range(100))), Assembler(LIMITS)
    parts = [decode_worker_frame(cutter.next(size)) for size in (1, 50, 7, 1_000)]
    assert [assembler.add(part) for part in parts if isinstance(part, Part)][-1] == bytes(range(100))
    assert cutter.left == 0


def test_streams_may_alternate_and_their_numbers_be_used_again() -> None:
    assembler = Assembler(LIMITS)
    for _ in range(3):
        pairs = zip(parts(0, b"a" * 40), parts(7, b"b" * 40), strict=True)
        done = [(assembler.add(one), assembler.add(other)) for one, other in pairs]
        assert done[-1] == (b"a" * 40, b"b" * 40)


@pytest.mark.parametrize(
    "wrong",
    [
        [Part(0, 1, False, b"x")],
        [Part(0, 0, False, b"x"), Part(0, 0, False, b"x")],
        [Part(0, 0, False, b"x"), Part(0, 2, False, b"x")],
        [Part(0, 0, True, b"x"), Part(0, 1, True, b"x")],
        [Part(0, 0, False, b"")],
        [Part(0, 0, False, b"x"), Part(1, 0, False, b"x"), Part(2, 0, False, b"x")],
    ],
)
def test_parts_that_do_not_fit_together_are_refused(wrong: list[Part]) -> None:
    assembler = Assembler(LIMITS)
    for part in wrong[:-1]:
        assembler.add(part)
    with pytest.raises(ProtocolError, match="bad_part"):
        assembler.add(wrong[-1])


def test_a_frame_may_be_as_large_as_the_limit_and_not_a_byte_larger() -> None:
    assert Assembler(LIMITS).add(Part(0, 0, True, b"x" * 100)) == b"x" * 100
    assembler = Assembler(LIMITS)
    assembler.add(Part(0, 0, False, b"x" * 100))
    with pytest.raises(ProtocolError, match="too_large"):
        assembler.add(Part(0, 1, True, b"x"))


def test_all_unfinished_frames_together_are_limited() -> None:
    assembler = Assembler(LIMITS)
    assembler.add(Part(0, 0, False, b"x" * 80))
    assembler.add(Part(1, 0, False, b"x" * 70))
    with pytest.raises(ProtocolError, match="unfinished frames of 151 bytes"):
        assembler.add(Part(1, 1, False, b"x"))

"""Mutated frames, both ways: whatever arrives is accepted or is a `ProtocolError`, and nothing else ever comes out."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from onward_protocol.codec import decode_engine_entries, decode_entries, encode, encode_message
from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Part
from onward_protocol.session import EngineSession, WorkerSession

from tests.unit.protocol import samples
from tests.unit.protocol.pair import Pair, hello

MUTATIONS = 10_000
NESTED, LONG_ARRAY, LONG_BYTES = b"\x91" * 200, b"\xdd\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff"
TOKENS = (b"\xc0", b"\xc1", b"\x90", b"\x80", NESTED, LONG_ARRAY, LONG_BYTES, b"\xff", b"\xd3")


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Change a few bytes, cut, repeat or insert something that MessagePack gives a meaning."""
    mutated = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(mutated) + 1)
        match rng.randrange(6):
            case 0:
                mutated[place : place + 1] = rng.randbytes(1)
            case 1:
                del mutated[place : place + rng.randrange(1, 9)]
            case 2:
                mutated[place:place] = rng.choice(TOKENS)
            case 3:
                mutated[place:place] = mutated[place : place + rng.randrange(1, 30)]
            case 4 if mutated:
                mutated[place - 1] ^= 1 << rng.randrange(8)
            case _:
                del mutated[place:]
    return bytes(mutated)


def corpus(frames: tuple[bytes, ...]) -> list[bytes]:
    return [encode_message([frame]) for frame in frames] + [encode_message(frames)]


def survive(receive: Callable[[bytes], object], data: bytes) -> bool:
    try:
        receive(data)
    except ProtocolError:
        return False
    return True


def engine_end(rng: random.Random) -> EngineSession:
    """An engine at some point of a connection's life."""
    pair = Pair(hello(held=(samples.HELD,)))
    return pair.engine if rng.random() < 0.2 else pair.open().engine


def worker_end(rng: random.Random) -> WorkerSession:
    pair = Pair(hello(held=(samples.HELD,)))
    return pair.worker if rng.random() < 0.2 else pair.open().worker


@pytest.mark.parametrize("start", [1, 2])
def test_a_worker_that_sends_garbage_is_accepted_or_refused(start: int) -> None:
    rng = random.Random(start)
    seeds = corpus(tuple(map(encode, samples.WORKER_FRAMES)))
    session, accepted = engine_end(rng), 0
    for _ in range(MUTATIONS // 2):
        if survive(lambda data: session.receive(data, 0), mutate(rng, rng.choice(seeds))):  # noqa: B023 - called at once
            accepted += 1
            session.messages_to_send(0)
        else:
            session = engine_end(rng)
    assert MUTATIONS // 100 < accepted < MUTATIONS // 2


@pytest.mark.parametrize("start", [3, 4])
def test_an_engine_that_sends_garbage_is_accepted_or_refused(start: int) -> None:
    rng = random.Random(start)
    seeds = corpus(tuple(map(encode, samples.ENGINE_FRAMES)))
    session, accepted = worker_end(rng), 0
    for _ in range(MUTATIONS // 2):
        if survive(lambda data: session.receive(data, 0), mutate(rng, rng.choice(seeds))):  # noqa: B023 - called at once
            accepted += 1
            session.tick(0)
            session.messages_to_send(0)
        else:
            session = worker_end(rng)
    assert MUTATIONS // 100 < accepted < MUTATIONS // 2


def test_entries_are_accepted_or_refused() -> None:
    rng = random.Random(5)
    worker = encode_message([encode(entry) for entry in samples.WORKER_ENTRIES])
    engine = encode_message([encode(entry) for entry in samples.ENGINE_ENTRIES])
    for _ in range(MUTATIONS // 2):
        survive(decode_entries, mutate(rng, worker))
        survive(decode_engine_entries, mutate(rng, engine))


def test_parts_in_any_order_and_of_any_kind_are_accepted_or_refused() -> None:
    rng = random.Random(6)
    pieces = [encode(frame) for frame in samples.WORKER_FRAMES]
    session = Pair().open().engine
    for _ in range(MUTATIONS // 2):
        data = rng.choice(pieces)
        part = Part(rng.randrange(12), rng.randrange(3), rng.random() < 0.4, data[: rng.randrange(len(data) + 1)])
        if not survive(lambda data: session.receive(data, 0), encode_message([encode(part)])):  # noqa: B023 - called at once
            session = Pair().open().engine

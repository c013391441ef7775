"""The pipe between two state machines."""

import random

import pytest

from tests.support import Direction, Pipe

UP, DOWN = Direction.TO_SERVER, Direction.TO_CLIENT
MESSAGES = [b"%d" % number for number in range(200)]


def pipe(seed: int = 0, **faults: object) -> Pipe:
    return Pipe(random.Random(seed), **faults)  # type: ignore[arg-type]  # checked by the constructor


def test_a_perfect_pipe_hands_over_everything_at_once_in_order() -> None:
    wire = pipe()
    wire.send(UP, MESSAGES, now_ms=0)
    assert wire.receive(DOWN, now_ms=0) == []
    assert wire.receive(UP, now_ms=0) == MESSAGES


def test_delayed_messages_keep_their_order_and_say_when_the_next_arrives() -> None:
    wire = pipe(delay_ms=(10, 90))
    wire.send(UP, MESSAGES, now_ms=1_000)
    assert wire.receive(UP, now_ms=1_009) == []
    arrived: list[bytes] = []
    while (at_ms := wire.next_at_ms()) is not None:
        arrived += wire.receive(UP, at_ms)
    assert arrived == MESSAGES


def test_an_unordered_pipe_lets_messages_overtake() -> None:
    wire = pipe(delay_ms=(10, 90), ordered=False)
    wire.send(UP, MESSAGES, now_ms=0)
    arrived = wire.receive(UP, now_ms=90)
    assert arrived != MESSAGES
    assert sorted(arrived) == sorted(MESSAGES)


def test_dropped_messages_are_missing_and_duplicated_ones_come_twice() -> None:
    wire = pipe(drop=0.2, duplicate=0.2)
    wire.send(UP, MESSAGES, now_ms=0)
    arrived = wire.receive(UP, now_ms=0)
    counts = {arrived.count(message) for message in MESSAGES}
    assert counts == {0, 1, 2}
    assert list(dict.fromkeys(arrived)) == [message for message in MESSAGES if message in arrived]


@pytest.mark.parametrize("cut_at", [1, 7, 200])
def test_a_cut_hands_over_exactly_so_many_messages(cut_at: int) -> None:
    wire = pipe(cut_at=cut_at)
    wire.send(UP, MESSAGES, now_ms=0)
    assert wire.receive(UP, now_ms=0) == MESSAGES[:cut_at]
    wire.send(DOWN, MESSAGES, now_ms=0)
    assert (wire.is_cut, wire.receive(DOWN, now_ms=0), wire.next_at_ms()) == (True, [], None)


def test_a_reconnected_pipe_is_empty_and_works() -> None:
    wire = pipe(delay_ms=(10, 10))
    wire.send(UP, [b"lost"], now_ms=0)
    wire.cut()
    wire.reconnect(cut_at=1)
    wire.send(UP, [b"first", b"second"], now_ms=20)
    assert wire.receive(UP, now_ms=30) == [b"first"]
    assert wire.is_cut


def test_a_black_hole_swallows_one_direction_until_healed() -> None:
    wire = pipe()
    wire.black_hole(UP)
    wire.send(UP, [b"lost"], now_ms=0)
    wire.send(DOWN, [b"through"], now_ms=0)
    wire.heal()
    wire.send(UP, [b"again"], now_ms=0)
    assert wire.receive(UP, now_ms=0) == [b"again"]
    assert wire.receive(DOWN, now_ms=0) == [b"through"]


def test_the_same_seed_makes_the_same_faults() -> None:
    arrived: list[list[bytes]] = []
    for seed in (1, 1, 2):
        wire = pipe(seed, drop=0.1, duplicate=0.1, delay_ms=(0, 100), ordered=False)
        wire.send(UP, MESSAGES, now_ms=0)
        arrived.append(wire.receive(UP, now_ms=100))
    assert arrived[0] == arrived[1] != arrived[2]

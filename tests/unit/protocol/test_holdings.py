from __future__ import annotations

from hashlib import blake2b

from msgspec.structs import replace
from onward_protocol.holdings import Difference, Holdings, compare, hash_of
from onward_protocol.messages import Held

ONE = Held("run_a", 3, 9, 8, 2, "parked")
TWO = Held("run_b", 1, 0, 0, 0, "running")


def test_what_came_to_a_run_around_its_end_makes_no_difference() -> None:
    one, other = (Held("run_a", 3, 9, 8, known, "ended") for known in (1, 2))
    assert hash_of(one) == hash_of(other)
    assert not compare([one], [other])


def test_the_hash_of_a_held_run_is_the_documented_one() -> None:
    array = b"\x95\xa5run_a\x03\x09\x02\xa6parked"
    assert hash_of(ONE) == int.from_bytes(blake2b(array, digest_size=8).digest(), "big")
    assert hash_of(ONE) == 0x4DB4EF49010D6C16


def test_the_hash_depends_on_everything_but_what_is_acknowledged() -> None:
    others = [
        replace(ONE, run="run_c"),
        replace(ONE, epoch=4),
        replace(ONE, last_seq=10),
        replace(ONE, known=3),
        replace(ONE, state="running"),
    ]
    assert len({hash_of(item) for item in [ONE, *others]}) == 6
    assert hash_of(replace(ONE, acked_seq=9)) == hash_of(ONE)


def test_the_digest_does_not_depend_on_the_order() -> None:
    assert Holdings([ONE, TWO]).digest() == Holdings([TWO, ONE]).digest() == hash_of(ONE) ^ hash_of(TWO)


def test_the_digest_follows_every_change() -> None:
    holdings = Holdings([ONE])
    assert holdings.digest() == hash_of(ONE)
    holdings.put(TWO)
    holdings.put(replace(ONE, known=3))
    assert holdings.digest() == hash_of(replace(ONE, known=3)) ^ hash_of(TWO)
    holdings.drop("run_a")
    holdings.drop("run_unknown")
    assert (holdings.digest(), len(holdings)) == (hash_of(TWO), 1)
    holdings.drop("run_b")
    assert (holdings.digest(), len(holdings), list(holdings)) == (0, 0, [])


def test_lists_are_compared_run_by_run() -> None:
    newer = replace(ONE, epoch=4)
    later = replace(TWO, known=1)
    assert compare([ONE, TWO], [newer, later]) == Difference((ONE,), (newer,), ((TWO, later),))
    assert not compare([ONE, TWO], [TWO, replace(ONE, acked_seq=9)])

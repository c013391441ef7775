"""Messages between engines are small, and whatever arrives is read or left alone."""

from __future__ import annotations

import random

import pytest
from onward_engine.bus import MESSAGE_BYTES_MAX
from onward_engine.news import (
    Changed,
    Finished,
    Followed,
    Item,
    Loaded,
    Moved,
    Queued,
    Ready,
    Registered,
    Written,
    decode,
    encode,
)

ITEMS: list[Item] = [
    Changed("run_1", 3, "wrk_1"),
    Ready("run_2", 4, "wrk_2", 7),
    Queued("shop/ord\u00e9r"),
    Finished("run_3"),
    Followed("run_4"),
    Written("run_5"),
    Moved("wrk_3", 9),
    Registered(),
    Loaded("rep_1", "shop", 2, 200, 3, 197),
]


def test_news_come_back_as_they_were_told() -> None:
    (message,) = encode("me", ITEMS, MESSAGE_BYTES_MAX)
    assert decode(message) == ("me", ITEMS)


def test_many_news_are_split_into_messages_that_a_notification_can_carry() -> None:
    items = [Changed(f"run_{number:032}", number, f"wrk_{number:032}") for number in range(1_000)]
    messages = list(encode("me", items, MESSAGE_BYTES_MAX))
    assert all(len(message) <= MESSAGE_BYTES_MAX for message in messages)
    assert [item for message in messages for item in (decode(message) or ("", []))[1]] == items
    assert len(messages) < 20


def test_an_item_that_no_message_can_hold_is_left_out() -> None:
    items: list[Item] = [Queued("x" * MESSAGE_BYTES_MAX), Finished("run_1")]
    assert [decode(message) for message in encode("me", items, MESSAGE_BYTES_MAX)] == [("me", [Finished("run_1")])]


def test_no_news_is_no_message() -> None:
    assert list(encode("me", [], MESSAGE_BYTES_MAX)) == []


@pytest.mark.parametrize(
    "message", [b"", b"[]", b"\xff", b'["me",[["unheard of",1]]]', b'["me",[["ready","r"]]]', b"1"]
)
def test_what_is_no_news_is_no_error(message: bytes) -> None:
    assert decode(message) is None


def test_garbage_is_no_error(seed: int) -> None:
    rng = random.Random(seed)
    (whole,) = encode("me", ITEMS, MESSAGE_BYTES_MAX)
    for _ in range(200):
        garbage = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            garbage[rng.randrange(len(garbage))] = rng.randrange(256)
        decode(bytes(garbage[: rng.randint(0, len(garbage))]))

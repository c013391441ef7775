"""When a worker dials again."""

from __future__ import annotations

import random

from onward.connection.reconnect import Reconnect
from onward_protocol.limits import Times


def latest(low: float, high: float) -> float:
    return high


def test_the_first_attempt_of_an_outage_is_immediate() -> None:
    assert Reconnect(latest, Times()).pause_ms(1_000) == 0


def test_for_five_seconds_it_comes_back_every_100_to_400_ms() -> None:
    pauses = Reconnect(random.Random(1).uniform, Times())
    pauses.pause_ms(0)
    seen = [pauses.pause_ms(now_ms) for now_ms in range(0, 5_000, 50)]
    assert min(seen) >= 100
    assert max(seen) <= 400
    assert max(seen) - min(seen) > 200, "spread, so that a thousand workers do not come at once"


def test_after_five_seconds_the_spread_grows_to_fifteen_seconds_and_stays() -> None:
    pauses = Reconnect(latest, Times())
    pauses.pause_ms(0)
    assert [pauses.pause_ms(5_000 + n) for n in range(6)] == [2_000, 4_000, 8_000, 15_000, 15_000, 15_000]


def test_a_week_without_an_engine_is_not_the_end() -> None:
    pauses = Reconnect(random.Random(2).uniform, Times())
    pauses.pause_ms(0)
    assert all(0 <= pauses.pause_ms(hour * 3_600_000) <= 15_000 for hour in range(1, 168))


def test_the_engine_can_ask_for_more_patience() -> None:
    pauses = Reconnect(random.Random(3).uniform, Times())
    seen = [pauses.pause_ms(0, retry_after_ms=2_000) for _ in range(50)]
    assert min(seen) >= 2_000
    assert max(seen) <= 2_500


def test_a_senseless_retry_after_cannot_keep_the_worker_away() -> None:
    assert Reconnect(latest, Times()).pause_ms(0, retry_after_ms=10**12) == 300_000


def test_to_come_back_at_once_means_with_a_pause() -> None:
    pauses = Reconnect(random.Random(4).uniform, Times())
    assert min(pauses.pause_ms(now_ms, retry_after_ms=0) for now_ms in range(50)) >= 100


def test_a_session_that_held_makes_the_next_loss_a_new_outage() -> None:
    pauses = Reconnect(latest, Times())
    pauses.pause_ms(0)
    pauses.connected(60_000)
    assert [pauses.pause_ms(70_000), pauses.pause_ms(70_100)] == [0, 400]


def test_an_engine_that_drops_every_session_at_once_is_not_dialled_without_pause() -> None:
    pauses = Reconnect(latest, Times())
    pauses.pause_ms(0)
    pauses.connected(10)
    assert pauses.pause_ms(20) == 400

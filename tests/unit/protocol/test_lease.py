from __future__ import annotations

from onward_protocol.lease import Lease
from onward_protocol.limits import Times


def open_lease() -> Lease:
    lease = Lease()
    lease.opened(1, 100, Times())
    return lease


def test_nothing_may_start_before_the_first_welcome() -> None:
    lease = Lease()
    lease.renewed(-1, 50)
    assert not lease.may_start(0)


def test_steps_may_start_for_twelve_seconds_after_the_newest_answered_beat_was_sent() -> None:
    lease = open_lease()
    lease.renewed(1, 5_000)
    lease.renewed(1, 3_000)
    assert lease.may_start(16_999)
    assert not lease.may_start(17_000)


def test_a_lost_socket_ends_the_lease_after_three_quarters_of_the_grace() -> None:
    lease = open_lease()
    lease.seen(2_000)
    lease.lost(1, 2_000)
    lease.lost(1, 2_500)
    assert lease.may_start(2_749)
    assert not lease.may_start(2_750)


def test_a_socket_whose_loss_is_found_after_a_standstill_has_been_gone_since_before_it() -> None:
    lease = open_lease()
    lease.seen(2_000)
    lease.lost(1, 9_000)
    assert lease.may_start(2_749)
    assert not lease.may_start(2_750)


def test_whoever_was_away_for_more_than_a_tenth_of_the_grace_is_unsure_until_the_socket_is_seen() -> None:
    lease = open_lease()
    assert not lease.is_unsure(200)
    assert lease.is_unsure(201)
    lease.seen(201)
    assert not lease.is_unsure(301)


def test_a_lost_socket_never_makes_the_lease_longer() -> None:
    lease = open_lease()
    lease.lost(1, 12_000)
    assert not lease.may_start(12_100)


def test_older_connections_neither_renew_nor_end_the_lease() -> None:
    lease = open_lease()
    lease.opened(2, 1_000, Times())
    lease.lost(1, 2_000)
    lease.renewed(1, 9_000)
    assert lease.until_ms == 13_000


def test_a_new_welcome_brings_the_lease_back() -> None:
    lease = open_lease()
    lease.lost(1, 2_000)
    lease.opened(2, 4_000, Times())
    assert lease.until_ms == 16_000

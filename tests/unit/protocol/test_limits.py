from __future__ import annotations

from dataclasses import astuple

from onward_protocol.limits import Limits, Times
from onward_protocol.versions import common_version, version_advice


def test_what_is_sent_can_always_be_read() -> None:
    limits = Limits()
    assert limits.part_bytes < limits.part_threshold_bytes < limits.send_bytes_max < limits.message_bytes_max
    assert limits.frame_bytes_max <= limits.assembly_bytes_max
    assert limits.frame_bytes_max >= limits.state_bytes_max + 100 * limits.steps_per_run_max


def test_a_worker_stops_before_the_engine_gives_its_runs_away() -> None:
    times = Times()
    assert 2 * times.beat_ms < times.lease_ms < times.dead_ms
    assert times.reconnect_max_ms < times.grace_ms < times.adoption_ms


def test_the_defaults_are_the_documented_ones() -> None:
    times = Times()
    assert (times.beat_ms, times.dead_ms, times.lease_ms) == (5_000, 15_000, 12_000)
    assert (times.grace_ms, times.adoption_ms, times.affinity_ms) == (1_000, 5_000, 250)


def test_scaled_times_keep_their_proportions_and_never_vanish() -> None:
    scaled = Times().scaled(1 / 20)
    assert (scaled.beat_ms, scaled.dead_ms, scaled.lease_ms, scaled.grace_ms) == (250, 750, 600, 50)
    assert min(astuple(Times().scaled(0))) == 1


def test_the_highest_common_version_wins() -> None:
    assert common_version((2, 4), (3, 9)) == 4
    assert common_version((2, 4), (1, 2)) == 2
    assert common_version((2, 4), (5, 6)) is None
    assert common_version((2, 4), (0, 1)) is None


def test_the_older_side_is_told_to_upgrade() -> None:
    assert version_advice((2, 4), (5, 6)).endswith("upgrade the engine")
    assert version_advice((2, 4), (0, 1)).endswith("upgrade the worker's onward package")

"""The bodies of the steps: the same for every peer, and the same as those of `bench.work`."""

from __future__ import annotations

import time

STEPS = 10


def now_ns() -> int:
    """The clock that all processes of a machine share."""
    return time.perf_counter_ns()


def mixed(value: int) -> int:
    """One round of a linear congruential generator: cheap, and wrong in every later step once a result is wrong."""
    return (value * 1_103_515_245 + 12_345) % 2**31

"""Replace what differs from one process to the next - randomness and clocks - while a simulation runs."""

import contextlib
import gc
import os
import random
import time
from collections.abc import Callable, Generator

from tests.support.loop import START_S, VirtualLoop

EPOCH_S = 1_893_456_000  # 2030-01-01; a wall clock that no test can mistake for the real one


@contextlib.contextmanager
def seeded(loop: VirtualLoop, seed: int) -> Generator[None]:
    """Make `random`, `secrets`, `uuid4` and `os.urandom` follow the seed, and `time` follow the loop.

    `time.sleep` stalls the whole simulated process. `time.perf_counter` stays real, for measuring the simulation
    itself; so does `datetime.now()`, which cannot be replaced from outside. The cyclic garbage collector rests
    meanwhile: when it runs, and so when it finalises what was dropped, depends on what ran before.
    """
    entropy = stream(seed, "entropy").randbytes
    with contextlib.ExitStack() as stack:
        stack.enter_context(_random_state(seed))
        stack.enter_context(_no_collector())
        for module, name, value in (*_randomness(entropy), *_clocks(loop)):
            stack.enter_context(_replaced(module, name, value))
        yield


def stream(seed: int, purpose: str) -> random.Random:
    """Return the randomness for one purpose: drawing more of one kind does not shift the others."""
    return random.Random(f"{seed}/{purpose}")


def _randomness(entropy: Callable[[int], bytes]) -> list[tuple[object, str, object]]:
    return [(os, "urandom", entropy), (random, "_urandom", entropy)]  # the second is the name `secrets` draws by


def _clocks(loop: VirtualLoop) -> list[tuple[object, str, object]]:
    def monotonic_s() -> float:
        return loop.now_s

    def wall_s() -> float:
        return EPOCH_S + loop.now_s - START_S

    return [
        (time, "time", wall_s),
        (time, "time_ns", lambda: int(wall_s() * 1e9)),
        (time, "monotonic", monotonic_s),
        (time, "monotonic_ns", lambda: int(loop.now_s * 1e9)),
        (time, "sleep", loop.stall),
    ]


@contextlib.contextmanager
def _random_state(seed: int) -> Generator[None]:
    before = random.getstate()
    random.seed(f"{seed}/random")
    try:
        yield
    finally:
        random.setstate(before)


@contextlib.contextmanager
def _no_collector() -> Generator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _replaced(module: object, name: str, value: object) -> Generator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)

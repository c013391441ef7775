"""Time and chance come from outside."""

from __future__ import annotations

import asyncio

from onward_engine.clock import Ids, LoopClock, SystemClock

from tests.support import Network, simulate


def test_a_loop_clock_lives_in_the_time_of_its_loop() -> None:
    async def main(_: Network) -> None:
        clock = LoopClock(1_000_000)
        before = clock.monotonic_ms()
        await asyncio.sleep(86_400)
        assert clock.wall_ms() == 1_000_000 + 86_400_000
        assert clock.monotonic_ms() - before == 86_400_000

    simulate(main)


def test_the_same_randomness_gives_the_same_ids() -> None:
    def ids() -> list[str]:
        made = Ids(SystemClock(), lambda size: b"\7" * size)
        return [made.claim(), made.claim(), made.secret()]

    assert ids() == ids()
    assert len(set(ids())) == 3

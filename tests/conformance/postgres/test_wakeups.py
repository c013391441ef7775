"""No wake-up is lost between two engines; `python -m tests.wakeups` asks 20,000 times."""

from __future__ import annotations

from tests.wakeups import race


async def test_of_events_and_waits_that_are_committed_at_the_same_moment_none_is_lost(postgres_url: str) -> None:
    tally = await race(postgres_url, pairs=200)
    assert tally.found_by_event > 0, "every event came first: nothing was raced"
    assert tally.found_by_wait > 0, "every wait came first: nothing was raced"
    assert tally.lost == 0

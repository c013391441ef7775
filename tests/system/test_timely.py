"""What time starts is started once, although the engine is killed while it does so."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.processes import System, kill, ledger_of, repeated, wait_for, wait_for_lines
from tests.system.apps.timely import Later, Sleeper

APP = "tests.system.apps.timely:functions"
EVENTS, SLEEPS, MINUTES = 300, 100, 30


@pytest.mark.timeout(120)
def test_delayed_events_sleeps_and_ticks_come_once_over_kills_of_the_engine(tmp_path: Path) -> None:
    rng = random.Random(11)
    with System(tmp_path) as system:
        engine = system.engine("--test-clock")
        system.worker(APP)
        delays = [rng.uniform(4, 8) for _ in range(EVENTS)]
        system.client.send(*(Later(n, delay=delay) for n, delay in enumerate(delays)))
        system.client.send(*(Sleeper(rng.uniform(4, 8)) for _ in range(SLEEPS)))
        for lines in (20, 150, 280):
            wait_for_lines(tmp_path, lines)
            kill(engine)
            engine = system.engine("--test-clock")
        wait_for(lambda: timely(tmp_path) >= EVENTS + SLEEPS, "everything has come")
        before = ledger_of(tmp_path).total()
        system.client.advance_clock(60 * MINUTES)
        wait_for_lines(tmp_path, before + MINUTES)
        ledger = ledger_of(tmp_path)
        assert repeated(ledger) == []
        assert timely(tmp_path) == EVENTS + SLEEPS
        assert system.client.list_delayed_events().events == ()


def timely(home: Path) -> int:
    """How many lines the ledger has beside those of ticks."""
    return sum(count for line, count in ledger_of(home).items() if not line.startswith("tick"))

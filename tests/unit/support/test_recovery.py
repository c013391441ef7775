"""How the kill campaigns measure the time until everything moves again."""

from __future__ import annotations

from tests.chaos.arena import Kill
from tests.chaos.notes import Acked, Broken, Connected
from tests.chaos.recovery import IDLE_MS, Witnesses, after_databases, after_engines
from tests.support.ledger import Execution, Ledger

ENGINE = Kill("engine", "engine-1", 1_000, 1_600)
DATABASE = Kill("postgres", "postgres", 1_000, 1_600)


def ledger(**began_at_ms: int) -> Ledger:
    found = Ledger(lambda _: None)
    for number, (worker, at_ms) in enumerate(began_at_ms.items()):
        found.add(Execution("run", "step", 1, worker, (), 0, False, number=number, began_at_ms=at_ms))
    return found


def test_an_engines_death_lasts_until_its_slowest_worker_works_over_its_next_connection() -> None:
    lines: list[Connected | Broken] = [
        Broken(1_010, "a"),
        Connected(1_200, "a"),
        Broken(1_020, "b"),
        Connected(1_100, "b"),
    ]
    acks = [Acked(1_300, "b", "run", "step", b"")]
    assert list(after_engines([ENGINE], Witnesses(ledger(a=1_450), acks, lines))) == [450]


def test_a_worker_with_nothing_to_do_is_back_when_it_is_connected() -> None:
    lines: list[Connected | Broken] = [Broken(1_010, "a"), Connected(1_200, "a")]
    assert list(after_engines([ENGINE], Witnesses(ledger(a=1_201 + IDLE_MS), [], lines))) == [200]


def test_an_engine_that_had_no_worker_interrupts_nothing() -> None:
    lines: list[Connected | Broken] = [Connected(500, "a"), Broken(5_000, "a"), Connected(5_100, "a")]
    kills = [ENGINE, Kill("engine", "engine-2", 4_990, 5_500)]
    assert list(after_engines(kills, Witnesses(ledger(a=5_110), [], lines))) == [120]


def test_a_databases_death_lasts_until_every_worker_works_with_the_next_one() -> None:
    lines: list[Connected | Broken] = [Connected(100, "a"), Connected(100, "b")]
    acks = [Acked(1_500, "a", "run", "step", b""), Acked(1_900, "a", "run", "other", b"")]
    assert list(after_databases([DATABASE], Witnesses(ledger(b=1_700), acks, lines))) == [900]

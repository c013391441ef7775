"""Where a lone checkpoint is committed: on the event loop while the disk is quick, in the writer's thread otherwise."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from onward_engine.model import Run
from onward_engine.store.port import Committed
from onward_engine.store.sqlite import SqliteStore
from onward_engine.store.sqlite.pace import PROOF_MAX, PROOF_MIN, QUICK_MS, Pace
from onward_protocol.messages import EventWait, StepDone, WaitOpened

from tests.conformance.driver import Driver, function

IN_A_ROW = 250


def proven(pace: Pace) -> int:
    """Note quick commits until it is brisk, and return how many that took."""
    for count in range(PROOF_MAX + 1):
        if pace.is_brisk:
            return count
        pace.note(0.2)
    raise AssertionError("never brisk")


def test_many_quick_commits_in_a_row_prove_a_quick_disk() -> None:
    pace = Pace()
    pace.note(QUICK_MS + 1)
    assert proven(pace) == PROOF_MIN


def test_one_slow_commit_takes_the_proof_away_and_makes_the_next_one_harder() -> None:
    pace = Pace()
    needed: list[int] = []
    for _ in range(12):
        needed.append(proven(pace))
        pace.note(QUICK_MS + 1)
        assert not pace.is_brisk
    assert needed[:4] == [PROOF_MIN, 2 * PROOF_MIN, 4 * PROOF_MIN, 8 * PROOF_MIN]
    assert needed[-1] == PROOF_MAX


class Watched(Driver):
    """A store that tells in which thread each batch was applied, and can have a slow disk."""

    def __init__(self, path: Path) -> None:
        self.now_s = 0.0
        self.sqlite = SqliteStore(path, clock_s=lambda: self.now_s)
        self.threads: list[str] = []
        self.stall_ms = 0
        self.run: Run
        self.seq = 0
        super().__init__(self.sqlite)

    async def begin(self) -> None:
        await self.sqlite.open()
        connected = self.sqlite._connected
        assert connected is not None
        apply = connected.apply

        def watched(ops: Sequence[Any], *rest: Any) -> Committed:
            self.threads.append(threading.current_thread().name)
            self.now_s += self.stall_ms / 1000
            return apply(ops, *rest)

        setattr(connected, "apply", watched)  # noqa: B010 - a test may
        await self.register(function("work"))
        self.run = await self.running()

    async def step(self, size: int = 1) -> str:
        self.seq += 1
        outcome = await self.checkpoint(self.run, self.seq, StepDone("a", bytes(size)))
        assert outcome.verdict == "applied"
        return self.threads[-1]

    async def steps(self, count: int) -> set[str]:
        return {await self.step() for _ in range(count)}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Watched]:
    driver = Watched(tmp_path / "onward.db")
    await driver.begin()
    await driver.steps(PROOF_MIN)
    yield driver
    await driver.sqlite.close()


HERE = threading.main_thread().name
WRITER = "onward-writer"


async def test_a_lone_small_checkpoint_needs_no_other_thread_while_the_disk_is_quick(store: Watched) -> None:
    assert await store.steps(20) == {HERE}


async def test_a_disk_that_stalls_holds_up_the_loop_once(store: Watched) -> None:
    store.stall_ms = 60
    assert [await store.step() for _ in range(4)] == [HERE, WRITER, WRITER, WRITER]
    store.stall_ms = 0
    assert await store.steps(PROOF_MIN) == {WRITER}


async def test_what_writes_much_or_many_things_never_holds_up_the_loop(store: Watched) -> None:
    assert await store.step(size=100_000) == WRITER
    await store.apply(*(store.frame(store.run, store.seq + n, StepDone("a", b"")) for n in (1, 2)))
    assert store.threads[-1] == WRITER


async def test_a_wait_never_holds_up_the_loop_because_it_may_look_far_back(store: Watched) -> None:
    wait = WaitOpened("w", EventWait("order/paid", after=0))
    store.seq += 1
    await store.checkpoint(store.run, store.seq, wait)
    assert store.threads[-1] == WRITER


async def test_the_log_of_commits_on_the_loop_is_copied_in_the_thread(store: Watched, tmp_path: Path) -> None:
    threads = [await store.step() for _ in range(4 * (IN_A_ROW + 1))]
    assert threads.count(WRITER) == 4
    assert (tmp_path / "onward.db-wal").stat().st_size < 1000 * 4096

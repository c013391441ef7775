"""Random programs of events, time, workers and interruptions: whatever happens, each event belongs to one run."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from msgspec.structs import replace
from onward_engine.model import Run, Status
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import CancelRun, EventFilter, Ingest, NewEvent, PauseRun, ResumeRun, RunFilter
from onward_protocol.messages import (
    BatchRule,
    ConcurrencyLimit,
    DebounceRule,
    Event,
    FunctionManifest,
    RunCompleted,
    Trigger,
)

from tests.conformance.driver import Driver

NAMES = ("last", "all", "batch")
PERIOD, TIMEOUT, SIZE, BATCH_TIMEOUT = 1_000, 2_500, 4, 1_900
PLAIN = FunctionManifest("", concurrency=(ConcurrencyLimit(2),))
LAST = DebounceRule(PERIOD, "event.data.k", TIMEOUT)
FUNCTIONS = (
    replace(PLAIN, id="shop/last", triggers=(Trigger("last"),), debounce=LAST),
    replace(PLAIN, id="shop/all", triggers=(Trigger("all"),), debounce=replace(LAST, deliver="all")),
    replace(PLAIN, id="shop/batch", triggers=(Trigger("batch"),), batch=BatchRule(SIZE, BATCH_TIMEOUT, "event.data.k")),
)


class Program:
    """A random program, and what it has been answered: which run each event went to."""

    def __init__(self, driver: Driver, seed: int) -> None:
        self.driver = driver
        self.random = Random(seed)
        self.sent: dict[str, Event] = {}
        self.at_ms: dict[str, int] = {}
        self.answers: dict[str, str] = {}

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            step = self.random.choices(
                (self.send, self.wait, self.work, self.cancel, self.pause, self.resume), (40, 25, 15, 4, 3, 6)
            )[0]
            await step()
        for run in await self.runs():
            await self.driver.one(ResumeRun(self.driver.now, run.id))
        for _ in range(200):
            self.driver.now += 1_000
            await self.driver.fire()
            await self.work()

    async def runs(self) -> list[Run]:
        return list((await self.driver.store.runs(RunFilter(limit=10_000))).runs)

    async def send(self) -> None:
        news: list[NewEvent] = []
        for _ in range(self.random.choice((1, 1, 2, 7))):
            new = self.driver.new_event(self.random.choice(NAMES), {"k": self.random.randint(0, 2)})
            ts_ms = self.driver.now + self.random.choice((0, 0, -900, -30, 5))
            news.append(replace(new, event=replace(new.event, ts_ms=ts_ms)))
        for new, one in zip(news, await self.driver.one(Ingest(self.driver.now, tuple(news))), strict=True):
            (self.answers[one.id],) = one.runs
            self.sent[one.id], self.at_ms[one.id] = new.event, self.driver.now

    async def wait(self) -> None:
        self.driver.now += self.random.choice((1, 50, 200, 400, PERIOD, 2_000))
        if self.random.random() < 0.8:  # sometimes nobody fires for a while
            await self.driver.fire()
        if self.random.random() < 0.6:  # and workers are late
            await self.work()

    async def work(self) -> None:
        for assignment in await self.driver.claim(*NAMES, limit=self.random.randint(1, 3)):
            assert [event.id for event in assignment.events] == list(assignment.run.events)
            await self.driver.checkpoint(assignment.run, 1, outcome=RunCompleted(b"\xc0"))

    async def _any(self) -> str | None:
        live = [run.id for run in await self.runs() if not run.status.is_terminal]
        return self.random.choice(sorted(live)) if live else None

    async def cancel(self) -> None:
        if run := await self._any():
            await self.driver.one(CancelRun(self.driver.now, run, "", 0))

    async def pause(self) -> None:
        if run := await self._any():
            await self.driver.one(PauseRun(self.driver.now, run))

    async def resume(self) -> None:
        if run := await self._any():
            await self.driver.one(ResumeRun(self.driver.now, run))


@pytest.fixture
async def driver() -> Driver:
    driver = Driver(MemoryStore())
    await driver.register(*FUNCTIONS)
    return driver


@pytest.mark.parametrize("seed", range(60))
async def test_each_event_belongs_to_one_run_and_each_run_to_one_key(driver: Driver, seed: int) -> None:
    program = Program(driver, seed)
    await program.run(120)
    runs = {run.id: run for run in await program.runs()}
    assert {run.status for run in runs.values()} <= {Status.COMPLETED, Status.CANCELLED}
    assert set(program.answers.values()) == set(runs)
    for run in runs.values():
        joined = [program.sent[id] for id, answer in program.answers.items() if answer == run.id]
        assert {(event.name, event.data) for event in joined} == {(joined[0].name, joined[0].data)}
        check(run, joined, program)
    counts = Counter(event for run in runs.values() for event in run.events)
    page = (await driver.store.events(EventFilter(limit=10_000))).events
    assert {one.event.id: one.runs for one in page} == {id: counts[id] for id in program.sent}
    assert driver.notices.next_due_at_ms is None  # and nothing is left that waits


def check(run: Run, joined: list[Event], program: Program) -> None:
    """A run has the right ones of the events that were answered with it, and they came in time."""
    ids = [event.id for event in joined]
    if run.function == "shop/last":
        newest = max(range(len(joined)), key=lambda index: (joined[index].ts_ms, index))
        assert list(run.events) == [ids[newest]]
    else:
        assert list(run.events) == ids
    if run.function == "shop/batch":
        assert len(ids) <= SIZE
        assert len(ids) == SIZE or not run.started_at_ms or run.started_at_ms >= run.created_at_ms + BATCH_TIMEOUT
    elif run.started_at_ms:
        assert run.started_at_ms >= run.created_at_ms + TIMEOUT or was_quiet(run, [program.at_ms[id] for id in ids])


def was_quiet(run: Run, arrivals: list[int]) -> bool:
    """Tell whether there was a period without an event before a run began."""
    ends = [at_ms + PERIOD for at_ms in arrivals]
    return any(end <= run.started_at_ms and not any(end - PERIOD < at_ms < end for at_ms in arrivals) for end in ends)

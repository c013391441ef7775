"""A file that is closed and opened after every batch tells the same story as a store that stays open."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from onward_engine.model import Item, Run, Status
from onward_engine.rules.flow.facts import AHEAD_MAX, Awaited, Backlog, Holders, Line, Queued
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import (
    HOLDERS_PAGE,
    ITEMS_PAGE,
    JOURNAL_PAGE_BYTES,
    LINES_PAGE,
    STEPS_PAGE,
    CancelRun,
    Claim,
    Committed,
    EventFilter,
    EventPage,
    JournalPage,
    Op,
    RunFilter,
    RunPage,
    StepPage,
)
from onward_engine.store.sqlite import SqliteStore
from onward_protocol.messages import (
    AppManifest,
    BatchRule,
    ConcurrencyLimit,
    DebounceRule,
    Event,
    EventWait,
    FunctionManifest,
    IdempotencyRule,
    Invoke,
    Parked,
    RateRule,
    RunCompleted,
    Seen,
    SingletonRule,
    Sleep,
    StepDone,
    Trigger,
    WaitOpened,
)

from tests.conformance.driver import WORKER, Driver, function

T = TypeVar("T")


class Reopened:
    """A `Store` that lives only for one call at a time."""

    is_shared = False

    def __init__(self, path: Path) -> None:
        self.path = path

    async def _store(self) -> SqliteStore:
        store = SqliteStore(self.path)
        await store.open()
        return store

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        store = await self._store()
        try:
            return await store.apply(ops)
        finally:
            await store.close()

    async def _ask(self, question: Callable[[SqliteStore], Awaitable[T]]) -> T:
        store = await self._store()
        try:
            return await question(store)
        finally:
            await store.close()

    async def run(self, run: str) -> Run | None:
        return await self._ask(lambda store: store.run(run))

    async def runs(self, wanted: RunFilter) -> RunPage:
        return await self._ask(lambda store: store.runs(wanted))

    async def steps(self, run: str, after: int = 0, limit: int = STEPS_PAGE) -> StepPage:
        return await self._ask(lambda store: store.steps(run, after, limit))

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        return await self._ask(lambda store: store.journal(run, after, limit_bytes))

    async def events(self, wanted: EventFilter) -> EventPage:
        return await self._ask(lambda store: store.events(wanted))

    async def events_of(self, events: Sequence[str]) -> list[Event]:
        return await self._ask(lambda store: store.events_of(events))

    async def joined(self, event: str) -> tuple[str, ...]:
        return await self._ask(lambda store: store.joined(event))

    async def waiter(self, event: str, value: bytes) -> str | None:
        return await self._ask(lambda store: store.waiter(event, value))

    async def event(self, event: str) -> Event | None:
        return await self._ask(lambda store: store.event(event))

    async def items(self, kind: str, owner: str, after: str = "", limit: int = ITEMS_PAGE) -> list[Item]:
        return await self._ask(lambda store: store.items(kind, owner, after, limit))

    async def queued(self, run: str, ahead_max: int = AHEAD_MAX) -> Queued | None:
        return await self._ask(lambda store: store.queued(run, ahead_max))

    async def holders(self, flow_key: str, limit: int = HOLDERS_PAGE) -> Holders:
        return await self._ask(lambda store: store.holders(flow_key, limit))

    async def awaited(self, run: str) -> list[Awaited]:
        return await self._ask(lambda store: store.awaited(run))

    async def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        return await self._ask(lambda store: store.backlog(functions))

    async def lines(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        return await self._ask(lambda store: store.lines(function, after, limit))

    async def shares(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        return await self._ask(lambda store: store.shares(function, after, limit))

    async def functions(self) -> list[AppManifest]:
        return await self._ask(lambda store: store.functions())


async def story(driver: Driver) -> list[object]:
    """Touch everything that is stored: functions, places, dedup, waits, timers, children, journals, cancellation."""
    one = [ConcurrencyLimit(1)]
    await driver.register(function("work", "asked"), function("child"), function("alone", concurrency=one))
    told: list[object] = [
        await driver.send("asked", {"id": 7}, id="mine"),
        await driver.send("asked", {"id": 7}, id="mine"),
    ]
    [assignment] = await driver.claim("work")
    run = assignment.run
    await driver.checkpoint(run, 1, StepDone("a", b"\x01"))
    waits = (WaitOpened("e", EventWait("go", timeout_ms=9_000)), WaitOpened("c", Invoke("shop/child", b"\x02")))
    await driver.checkpoint(run, 2, *waits, WaitOpened("s", Sleep(100)), outcome=Parked())
    told += [await driver.start("alone"), await driver.start("alone"), await driver.claim("alone")]
    [child] = await driver.claim("child")
    told.append(driver.notices.next_due_at_ms)
    await driver.checkpoint(child.run, 1, outcome=RunCompleted(b"\x03"))
    told += [driver.notices.woken, await driver.admit(run)]
    driver.now += 200
    told += [await driver.fire(), driver.notices.woken]
    await driver.send("go")
    told.append(driver.notices.woken)
    await driver.orphan()
    driver.now += 2_000
    [again] = await driver.claim("work", instance="wrk_b")
    told += [again, driver.notices.fenced]
    last = driver.frame(again.run, 1, Seen(1), Seen(2), Seen(3), outcome=RunCompleted(b"\x09"), instance="wrk_b")
    told += [await driver.one(last), await driver.one(last), await driver.get(run), await driver.store.steps(run.id)]
    return told


async def test_reopening_the_file_after_every_batch_changes_nothing(tmp_path: Path) -> None:
    reopened = await story(Driver(Reopened(tmp_path / "onward.db")))
    assert reopened == await story(Driver(MemoryStore()))


async def flow_story(driver: Driver) -> list[object]:
    """Touch all that is kept of events that join, are skipped, or are gathered."""
    trigger = (Trigger("asked"),)
    await driver.register(
        FunctionManifest("shop/batched", trigger, batch=BatchRule(5, 60_000)),
        FunctionManifest("shop/debounced", trigger, debounce=DebounceRule(10_000, timeout_ms=25_000)),
        FunctionManifest("shop/rated", trigger, rate_limit=RateRule(3, 30_000)),
        FunctionManifest("shop/alone", trigger, singleton=SingletonRule("event.data % 2", "cancel")),
        FunctionManifest("shop/once", trigger, idempotency=IdempotencyRule("event.data % 3", 20_000)),
    )
    told: list[object] = []
    for n in range(14):
        told += [await driver.send("asked", n), driver.notices.finished, driver.notices.next_due_at_ms]
        driver.now += 4_000
        told += [await driver.fire(), await driver.claim("debounced", "batched"), driver.notices.next_due_at_ms]
    told += [(run.id, run.status, run.cancel_reason) for run in (await driver.store.runs(RunFilter(limit=100))).runs]
    told += [await driver.store.joined(f"evt_{n}") for n in range(14)]
    return told


async def test_reopening_the_file_between_events_changes_nothing_for_those_that_belong_together(tmp_path: Path) -> None:
    reopened = await flow_story(Driver(Reopened(tmp_path / "onward.db")))
    assert reopened == await flow_story(Driver(MemoryStore()))


async def test_the_history_of_a_file_stays_the_same_and_is_its_own(tmp_path: Path) -> None:
    async def history(name: str) -> str:
        store = SqliteStore(tmp_path / name)
        await store.open()
        try:
            return store.history
        finally:
            await store.close()

    first = await history("a.db")
    assert await history("a.db") == first
    assert await history("b.db") != first


async def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Without `close` the log is all there is."""
    store = SqliteStore(tmp_path / "onward.db", inline=True)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    run = await driver.running()
    await driver.checkpoint(run, 1, StepDone("a", b"\x01"))
    copied = tmp_path / "copy"
    copied.mkdir()
    shutil.copy(tmp_path / "onward.db", copied)
    shutil.copy(tmp_path / "onward.db-wal", copied)
    await store.close()
    survivor = Driver(SqliteStore(copied / "onward.db"))
    await survivor.store.open()
    assert (await survivor.get(run)).steps == 1
    assert await survivor.boot() == 1
    assert await survivor.status(run) is Status.ORPHANED
    await survivor.store.close()


async def test_what_a_batch_has_changed_is_not_read_again_beside_what_it_has_not_read_yet(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "onward.db")
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    begun = await driver.running()
    await driver.give_back(begun)
    other = await driver.start("work")
    await store.close()
    await store.open()
    cancelled = CancelRun(driver.now, begun.id, "asked", 10_000)
    _, taken = await driver.apply(cancelled, Claim(driver.now, "last", WORKER, 1, ("shop/work",), 2))
    assert [(one.run.id, one.run.cancel_reason) for one in taken] == [(begun.id, "asked"), (other, None)]
    await store.close()

"""A file that is closed and opened after every batch tells the same story as a store that stays open."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from onward_engine.model import Item, Run, Status
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import (
    ITEMS_PAGE,
    JOURNAL_PAGE_BYTES,
    STEPS_PAGE,
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
    ConcurrencyLimit,
    Event,
    EventWait,
    Invoke,
    Parked,
    RunCompleted,
    Seen,
    Sleep,
    StepDone,
    WaitOpened,
)

from tests.conformance.driver import Driver, function

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

    async def waiter(self, event: str, value: bytes) -> str | None:
        return await self._ask(lambda store: store.waiter(event, value))

    async def event(self, event: str) -> Event | None:
        return await self._ask(lambda store: store.event(event))

    async def items(self, kind: str, owner: str, after: str = "", limit: int = ITEMS_PAGE) -> list[Item]:
        return await self._ask(lambda store: store.items(kind, owner, after, limit))

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

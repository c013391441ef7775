"""What is kept by name: found again, in order, when it is due, and gone with its owner."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onward_engine.model import Item
from onward_engine.store.port import Purge, Rejected
from onward_engine.store.tables import Tables
from onward_engine.store.work import timers
from onward_engine.store.work.context import Work
from onward_protocol.messages import RunCompleted

from tests.conformance.driver import Driver
from tests.conformance.rows import do, operations

__all__ = ["operations"]


def put(kind: str, owner: str, name: str, due_at_ms: int | None = None, body: bytes = b"") -> Callable[[Tables], None]:
    return lambda tables: tables.put_item(Item(kind, owner, name, due_at_ms, body))


def dropping(kind: str, owner: str, name: str) -> Callable[[Tables], None]:
    return lambda tables: tables.drop_item(kind, owner, name)


async def test_an_item_is_found_by_kind_owner_and_name(driver: Driver) -> None:
    await do(driver, put("pause", "", "a", body=b"1"))
    assert await do(
        driver,
        lambda tables: tables.item("pause", "", "a"),
        lambda tables: tables.item("pause", "x", "a"),
        lambda tables: tables.item("signal", "", "a"),
    ) == [Item("pause", "", "a", None, b"1"), None, None]


async def test_the_items_of_an_owner_come_by_name(driver: Driver) -> None:
    await do(driver, put("signal", "run_1", "b"), put("signal", "run_1", "a"), put("signal", "run_2", "c"))
    [items] = await do(driver, lambda tables: [item.name for item in tables.items("signal", "run_1")])
    assert items == ["a", "b"]


async def test_what_is_put_again_is_replaced_with_its_time(driver: Driver) -> None:
    await do(driver, put("schedule", "f", "0", 5, b"old"))
    await do(driver, put("schedule", "f", "0", 50, b"new"))
    [item, due] = await do(driver, lambda tables: tables.item("schedule", "f", "0"), lambda tables: due_at(tables, 20))
    assert item == Item("schedule", "f", "0", 50, b"new")
    assert (due, driver.notices.next_due_at_ms) == ([], 50)


async def test_what_is_dropped_is_gone_and_never_due(driver: Driver) -> None:
    await do(driver, put("signal", "run_1", "a", 5))
    await do(driver, lambda tables: tables.drop_item("signal", "run_1", "a"))
    assert await do(driver, lambda tables: tables.items("signal", "run_1"), lambda tables: due_at(tables, 9)) == [
        [],
        [],
    ]
    assert driver.notices.next_due_at_ms is None


async def test_what_is_due_comes_oldest_first_and_not_more_than_asked_for(driver: Driver) -> None:
    await do(driver, *(put("event", "", f"e{due}", due) for due in (30, 10, 20, 40)))
    [found, fewer] = await do(driver, lambda tables: due_at(tables, 30), lambda tables: due_at(tables, 30, 2))
    assert (found, fewer) == (["e10", "e20", "e30"], ["e10", "e20"])


async def test_what_was_dropped_in_the_same_batch_is_not_due(driver: Driver) -> None:
    await do(driver, *(put("event", "", f"e{due}", due) for due in (10, 20, 30)))
    [_, _, found] = await do(
        driver,
        lambda tables: tables.drop_item("event", "", "e10"),
        put("event", "", "e05", 5),
        lambda tables: due_at(tables, 30, 2),
    )
    assert found == ["e05", "e20"]


async def test_the_next_moment_follows_from_items_too(driver: Driver) -> None:
    await do(driver, *(put("event", "", f"e{due}", due) for due in range(100, 110)))
    for due in range(100, 109):
        assert driver.notices.next_due_at_ms == due
        await do(driver, dropping("event", "", f"e{due}"))
    assert driver.notices.next_due_at_ms == 109


async def test_a_batch_that_fails_keeps_nothing_of_what_was_put(driver: Driver) -> None:
    outcomes = await do(driver, put("pause", "", "good"), _put_and_fail)
    assert isinstance(outcomes[1], Rejected)
    assert [item.name for item in await driver.store.items("pause", "")] == ["good"]


async def test_items_are_read_in_pages_by_name(driver: Driver) -> None:
    await do(driver, *(put("event", "", name) for name in "cabd"), put("event", "x", "aa"))
    first = await driver.store.items("event", "", limit=2)
    rest = await driver.store.items("event", "", after=first[-1].name)
    assert [item.name for item in [*first, *rest]] == ["a", "b", "c", "d"]


async def test_all_that_a_run_has_goes_with_it(driver: Driver) -> None:
    run = await driver.running()
    await do(driver, put("signal", run.id, "a", 10**12), put("progress", run.id, ""), put("signal", "run_other", "a"))
    await driver.checkpoint(run, 1, outcome=RunCompleted(b"\xc0"))
    driver.now += 10
    assert (await driver.one(Purge(driver.now, driver.now, driver.now))).runs == 1
    assert await do(driver, lambda tables: [tables.items(kind, run.id) for kind in ("signal", "progress")]) == [
        [[], []]
    ]
    assert driver.notices.next_due_at_ms is None
    assert len(await driver.store.items("signal", "run_other")) == 1


async def test_what_is_due_is_done_by_its_kind_once(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setitem(timers._RIPE, "alarm", lambda work, item: _finish(work, item, done))
    await do(driver, *(put("alarm", f"owner{n}", "x", driver.now + n) for n in range(3)))
    driver.now += 1
    assert await driver.fire() == 2
    assert (sorted(set(done)), driver.notices.next_due_at_ms) == (["owner0", "owner1"], driver.now + 1)
    assert await driver.fire() == 0


def _finish(work: Work, item: Item, done: list[str]) -> None:
    work.tables.drop_item(item.kind, item.owner, item.name)
    done.append(item.owner)


def _put_and_fail(tables: Tables) -> None:
    tables.put_item(Item("pause", "", "bad"))
    raise ValueError("no")


def due_at(tables: Tables, now_ms: int, limit: int = 10) -> list[str]:
    return [item.name for item in tables.items_due(now_ms, limit)]

"""Lists of runs and events: what filters mean, and that pages neither overlap nor skip."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from onward_engine.model import Status
from onward_engine.store.port import EventFilter, Ingest, RunFilter, StartRun
from onward_protocol.messages import Failure, Outcome, Parked, RunCompleted, RunFailed, Sleep, Tagged, WaitOpened

from tests.conformance.driver import Driver


async def runs_of(driver: Driver, wanted: RunFilter) -> list[str]:
    return [run.id for run in (await driver.store.runs(wanted)).runs]


async def sent(driver: Driver, name: str, key: str = "") -> str:
    new = driver.new_event(name)
    await driver.one(Ingest(driver.now, (replace(new, event=replace(new.event, key=key)),)))
    return new.event.id


async def five(driver: Driver) -> dict[str, str]:
    """One run of each kind; each began 100 ms after the one before it, and ended 10 ms after its beginning."""
    runs: dict[str, str] = {}
    failed = RunFailed(Failure("E", ""))
    ends: dict[str, Outcome] = {"completed": RunCompleted(b""), "failed": failed, "parked": Parked()}
    for name, outcome in ends.items():
        run = await driver.running()
        driver.now += 10
        entries = [WaitOpened("w", Sleep(10_000_000))] if name == "parked" else []
        await driver.checkpoint(run, 1, *entries, outcome=outcome)
        driver.now += 90
        runs[name] = run.id
    runs["child"] = await driver.start("child")
    driver.now += 100
    runs["queued"] = await driver.start("work")
    return runs


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (RunFilter(), "queued child parked failed completed"),
        (RunFilter(function="shop/work"), "queued parked failed completed"),
        (RunFilter(status=(Status.QUEUED, Status.PARKED)), "queued child parked"),
        (RunFilter(status=(Status.FAILED,)), "failed"),
        (RunFilter(status=(Status.COMPLETED, Status.FAILED)), "failed completed"),
        (RunFilter(status=(Status.COMPLETED, Status.QUEUED)), "queued child completed"),
        (RunFilter(function="shop/work", status=(Status.QUEUED,)), "queued"),
        (RunFilter(function="shop/child", status=(Status.FAILED,)), ""),
        (RunFilter(function="shop/nobody"), ""),
        (RunFilter(prefix="run_"), "queued child parked failed completed"),
        (RunFilter(prefix="run_nowhere_at_all"), ""),
        (RunFilter(ids=()), ""),
    ],
)
async def test_what_is_asked_for_is_found_newest_first(driver: Driver, wanted: RunFilter, names: str) -> None:
    runs = await five(driver)
    assert await runs_of(driver, wanted) == [runs[name] for name in names.split()]


async def test_runs_are_found_by_when_they_began_and_ended(driver: Driver) -> None:
    begin = driver.now
    runs = await five(driver)
    cases: list[tuple[RunFilter, str]] = [
        (RunFilter(created_from_ms=begin + 100, created_until_ms=begin + 300), "parked failed"),
        (RunFilter(created_until_ms=begin), ""),
        (RunFilter(ended_from_ms=begin), "failed completed"),
        (RunFilter(ended_from_ms=begin + 11), "failed"),
        (RunFilter(ended_until_ms=begin + 11, status=(Status.COMPLETED,)), "completed"),
        (RunFilter(function="shop/work", created_from_ms=begin + 300), "queued"),
    ]
    for wanted, names in cases:
        assert await runs_of(driver, wanted) == [runs[name] for name in names.split()], wanted


async def test_runs_are_found_by_all_of_their_tags(driver: Driver) -> None:
    both, one = await driver.running(), await driver.running()
    await driver.start("work")
    await driver.checkpoint(both, 1, Tagged({"customer": "42", "plan": "pro"}))
    await driver.checkpoint(one, 1, Tagged({"customer": "42"}), outcome=RunCompleted(b""))
    cases: list[tuple[RunFilter, list[str]]] = [
        (RunFilter(tags=(("customer", "42"),)), [one.id, both.id]),
        (RunFilter(tags=(("customer", "42"), ("plan", "pro"))), [both.id]),
        (RunFilter(tags=(("customer", "42"),), status=(Status.COMPLETED,)), [one.id]),
        (RunFilter(tags=(("customer", "42"),), ids=(both.id,)), [both.id]),
        (RunFilter(tags=(("customer", "4"),)), []),
        (RunFilter(tags=(("a\0b", "4"),)), []),
    ]
    for wanted, ids in cases:
        assert await runs_of(driver, wanted) == ids, wanted
    assert (await driver.get(both)).tags == {"customer": "42", "plan": "pro"}
    assert [run.tags for run in (await driver.store.runs(RunFilter(ids=(one.id,)))).runs] == [{"customer": "42"}]


async def test_runs_are_found_by_their_ids_and_by_the_beginning_of_one(driver: Driver) -> None:
    a, b, c = "run_00000000aa1", "run_00000000aa2", "run_00000000b"
    await driver.apply(*[StartRun(driver.now, id, "shop/work", b"") for id in (a, b, c)])
    assert await runs_of(driver, RunFilter(ids=(a, c, "run_nobody"))) == [c, a]
    assert await runs_of(driver, RunFilter(ids=(a, c), limit=1, before=(await driver.get(c)).ord)) == [a]
    assert await runs_of(driver, RunFilter(prefix="run_00000000aa")) == [b, a]
    assert await runs_of(driver, RunFilter(prefix="run_0", limit=2)) == [c, b]
    assert await runs_of(driver, RunFilter(prefix="run_00000000aa", status=(Status.FAILED,))) == []


@pytest.mark.parametrize(
    "wanted",
    [
        RunFilter(limit=2),
        RunFilter(limit=2, status=(Status.QUEUED,)),
        RunFilter(limit=2, function="shop/work", created_from_ms=0),
    ],
)
async def test_pages_stay_the_same_while_new_runs_come(driver: Driver, wanted: RunFilter) -> None:
    started = [await driver.start("work") for _ in range(5)]
    page = await driver.store.runs(wanted)
    seen = [run.id for run in page.runs]
    while page.next is not None:
        await driver.start("work")
        page = await driver.store.runs(replace(wanted, before=page.next))
        seen += [run.id for run in page.runs]
    assert seen == started[::-1]


async def test_a_page_that_found_too_little_says_where_to_go_on(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rare run among many is found by asking again, and no single question takes long."""
    for module in ("pages", "sqlite.lists", "postgres.lists"):
        monkeypatch.setattr(f"onward_engine.store.{module}.SCAN_MAX", 3)
    old = driver.now
    wanted = await driver.start("work")
    driver.now += 10
    for _ in range(4):
        await driver.start("work")
    rare = RunFilter(created_until_ms=old + 1)
    first = await driver.store.runs(rare)
    assert first.runs == ()
    second = await driver.store.runs(replace(rare, before=first.next))
    assert ([run.id for run in second.runs], second.next) == ([wanted], None)


async def test_events_are_found_by_name_key_and_time(driver: Driver) -> None:
    begin = driver.now
    first = await sent(driver, "work.asked", "a")
    driver.now += 10
    second = await sent(driver, "note", "b")
    cases: list[tuple[EventFilter, list[str]]] = [
        (EventFilter(), [second, first]),
        (EventFilter(name="work.asked"), [first]),
        (EventFilter(key="b"), [second]),
        (EventFilter(prefix="work."), [first]),
        (EventFilter(prefix="note", key="a"), []),
        (EventFilter(name="note", key="a"), []),
        (EventFilter(received_from_ms=begin + 1), [second]),
        (EventFilter(received_until_ms=begin + 1, name="work.asked"), [first]),
        (EventFilter(name="a\0b"), []),
    ]
    for wanted, ids in cases:
        assert [kept.event.id for kept in (await driver.store.events(wanted)).events] == ids, wanted


async def test_an_event_tells_when_it_came_and_how_many_runs_it_is_a_part_of(driver: Driver) -> None:
    await driver.send("work.asked")
    [kept] = (await driver.store.events(EventFilter())).events
    assert (kept.received_at_ms, kept.runs, kept.event) == (driver.now, 1, await driver.store.event(kept.event.id))


async def test_events_come_in_pages_newest_first(driver: Driver) -> None:
    ids = [await sent(driver, "note") for _ in range(5)]
    first = await driver.store.events(EventFilter(name="note", limit=3))
    second = await driver.store.events(EventFilter(name="note", limit=3, before=first.next))
    assert [kept.event.id for kept in first.events + second.events] == ids[::-1]
    assert second.next is None


async def test_several_events_are_read_at_once(driver: Driver) -> None:
    ids = [await sent(driver, "note") for _ in range(3)]
    found = await driver.store.events_of([*ids[:2], "evt_nobody"])
    assert {event.id for event in found} == set(ids[:2])

"""A run's journal in pages: what a worker gets of a long run, however long it is."""

from __future__ import annotations

from onward_engine.model import Run
from onward_engine.store.port import JournalPage
from onward_protocol.codec import decode_engine_entries
from onward_protocol.messages import HandedBack, RunCompleted, Seen, Sleep, StepDone, WaitOpened

from tests.conformance.driver import Driver

Row = tuple[int, int, bytes]


async def pages_of(driver: Driver, run: Run, limit_bytes: int) -> list[JournalPage]:
    pages = [await driver.store.journal(run.id, limit_bytes=limit_bytes)]
    while (after := pages[-1].next) is not None:
        pages.append(await driver.store.journal(run.id, after, limit_bytes))
    return pages


async def written(driver: Driver, run: Run, frames: int, size: int, first: int = 1) -> list[Row]:
    """Store frames of about `size` bytes; return their rows."""
    ops = [driver.frame(run, seq, StepDone(f"s{seq}", bytes(size))) for seq in range(first, first + frames)]
    await driver.apply(*ops)
    return [(op.epoch, op.seq, op.raw) for op in ops]


def frames_of(pages: list[JournalPage]) -> list[Row]:
    return [segment for page in pages for segment in page.segments]


async def test_pages_of_any_size_hold_the_whole_journal_in_order(driver: Driver) -> None:
    run = await driver.running()
    rows = await written(driver, run, frames=300, size=700)
    for limit_bytes in (1, 1_000, 50_000, 1_000_000):
        assert frames_of(await pages_of(driver, run, limit_bytes)) == rows


async def test_a_page_holds_as_much_as_fits_and_at_least_one_row(driver: Driver) -> None:
    run = await driver.running()
    small = await written(driver, run, frames=10, size=100)
    large = await written(driver, run, frames=2, size=200_000, first=11)
    pages = await pages_of(driver, run, limit_bytes=len(small[0][2]) * 6)
    assert [len(page.segments) for page in pages] == [6, 4, 1, 1]
    assert frames_of(pages) == small + large


async def test_engine_entries_stand_in_the_pages_between_the_frames_that_they_came_between(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("nap", Sleep(10)))
    driver.now += 10
    await driver.fire()
    await driver.checkpoint(run, 2, Seen(1), StepDone("a", b"\x01"))
    first, second, third = await pages_of(driver, run, limit_bytes=1)
    assert [len(first.segments), len(second.segments), len(third.segments)] == [1, 0, 1]
    assert [entry.pos for data in second.entries for entry in decode_engine_entries(data)] == [1]


async def test_all_epochs_of_a_run_are_one_journal(driver: Driver) -> None:
    run = await driver.running()
    rows: list[Row] = []
    for _ in range(5):
        rows += await written(driver, run, frames=40, size=500)
        await driver.checkpoint(run, 41, outcome=HandedBack())
        [assignment] = await driver.claim("work")
        run = assignment.run
    assert [epoch for epoch, _, _ in rows[::40]] == [1, 2, 3, 4, 5]
    assert frames_of(await pages_of(driver, run, limit_bytes=10_000)) == rows


async def test_a_journal_that_grows_between_two_pages_neither_repeats_nor_skips(driver: Driver) -> None:
    run = await driver.running()
    rows = await written(driver, run, frames=100, size=500)
    first = await driver.store.journal(run.id, limit_bytes=20_000)
    assert first.next is not None
    rows += await written(driver, run, frames=100, size=500, first=101)
    rest = await driver.store.journal(run.id, first.next, limit_bytes=1_000_000)
    assert [*first.segments, *rest.segments] == rows


async def test_the_journals_of_runs_that_write_together_stay_apart(driver: Driver) -> None:
    runs = [await driver.running() for _ in range(3)]
    for seq in range(1, 201):
        await driver.apply(*[driver.frame(run, seq, StepDone(f"{run.id} {seq}", bytes(400))) for run in runs])
    for run in runs:
        found = frames_of(await pages_of(driver, run, limit_bytes=30_000))
        assert [data for _, _, data in found if run.id.encode() not in data] == []
        assert [seq for _, seq, _ in found] == list(range(1, 201))


async def test_a_journal_outlives_its_run(driver: Driver) -> None:
    run = await driver.running()
    rows = await written(driver, run, frames=5, size=10)
    await driver.checkpoint(run, 6, outcome=RunCompleted(b""))
    assert frames_of(await pages_of(driver, run, limit_bytes=1_000)) == rows


async def test_a_run_without_a_journal_and_an_unknown_one_have_one_empty_page(driver: Driver) -> None:
    run = await driver.running()
    assert await driver.store.journal(run.id) == JournalPage()
    assert await driver.store.journal("run_nobody") == JournalPage()

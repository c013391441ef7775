"""What people ask: runs by page, a run's history, events, functions."""

from __future__ import annotations

from onward_engine.model import Status
from onward_engine.store.port import RunFilter, RunPage, StepPage
from onward_protocol.messages import (
    AttemptFailed,
    EventWait,
    Failure,
    Invoke,
    Parked,
    Patched,
    RunCompleted,
    RunFailed,
    Seen,
    Sent,
    Sleep,
    StepDone,
    StepFailed,
    TimerFired,
    WaitClosed,
    WaitOpened,
)

from tests.conformance.driver import Driver


async def test_unknown_things_are_none(driver: Driver) -> None:
    assert await driver.store.run("run_nobody") is None
    assert await driver.store.event("evt_nobody") is None
    assert await driver.store.steps("run_nobody") == StepPage()


async def test_what_no_store_could_hold_is_not_there_either(driver: Driver) -> None:
    assert await driver.store.run("a\0b") is None
    assert await driver.store.event("a\0b") is None
    assert await driver.store.steps("a\0b") == StepPage()
    assert await driver.store.runs(RunFilter(function="a\0b")) == RunPage()


async def test_runs_come_newest_first_in_pages_that_neither_overlap_nor_skip(driver: Driver) -> None:
    started = [await driver.start("work") for _ in range(7)]
    seen: list[str] = []
    before = None
    while page := (await driver.store.runs(RunFilter(limit=3, before=before))).runs:
        seen += [run.id for run in page]
        before = page[-1].ord
    assert seen == started[::-1]


async def test_runs_are_found_by_function_and_by_every_status(driver: Driver) -> None:
    queued, child = await driver.start("work"), await driver.start("child")
    completed, failed, cancelled, parked = [
        assignment.run for assignment in await driver.claim("work") if assignment.run.id == queued
    ] + [await driver.running() for _ in range(3)]
    await driver.checkpoint(completed, 1, outcome=RunCompleted(b""))
    await driver.checkpoint(failed, 1, outcome=RunFailed(Failure("E", "")))
    await driver.cancel(cancelled, cleanup_ms=0)
    await driver.checkpoint(parked, 1, WaitOpened("w", Sleep(100)), outcome=Parked())
    found = {
        status: [run.id for run in (await driver.store.runs(RunFilter(status=(status,)))).runs]
        for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PARKED, Status.QUEUED, Status.READY)
    }
    assert list(found.values()) == [[completed.id], [failed.id], [cancelled.id], [parked.id], [child], []]
    assert [run.id for run in (await driver.store.runs(RunFilter(function="shop/child"))).runs] == [child]
    both = RunFilter(function="shop/child", status=(Status.FAILED,))
    assert await driver.store.runs(both) == RunPage()


async def test_a_page_leaves_out_input_and_output_but_tells_the_failure(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, outcome=RunFailed(Failure("E", "no")))
    [listed] = (await driver.store.runs(RunFilter())).runs
    assert (listed.input, listed.output, listed.failure) == (b"", b"", Failure("E", "no"))


async def test_a_history_has_a_line_for_everything_and_what_became_of_it(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(
        run,
        1,
        AttemptFailed("flaky", 1, Failure("E", "once"), 100),
        StepDone("flaky", b"\x01", attempts=2, took_ms=7),
        StepFailed("bad", Failure("E", "never"), attempts=5),
        TimerFired("timer@1"),
        Patched("patch:change", is_on=True),
        Sent("note", ()),
        WaitOpened("nap", Sleep(10)),
        WaitOpened("mail", EventWait("mail", timeout_ms=10_000)),
        WaitOpened("call", Invoke("shop/nobody", b"")),
        WaitOpened("dropped", Sleep(1_000)),
        WaitClosed("dropped"),
    )
    driver.now += 10
    await driver.fire()
    await driver.checkpoint(run, 2, Seen(1))
    lines = [(line.key, line.kind, line.status) for line in (await driver.store.steps(run.id)).steps]
    assert lines == [
        ("flaky", "step", "completed"),
        ("bad", "step", "failed"),
        ("timer@1", "timer", "completed"),
        ("patch:change", "patch", "completed"),
        ("note", "send", "completed"),
        ("nap", "sleep", "completed"),
        ("mail", "event", "waiting"),
        ("call", "invoke", "failed"),
        ("dropped", "sleep", "closed"),
    ]


async def test_a_history_outlives_its_run_and_leaves_out_what_nobody_reads(driver: Driver) -> None:
    run = await driver.running()
    big = StepDone("big", bytes(64 * 1024 + 1))
    await driver.checkpoint(run, 1, StepDone("small", b"\x01"), big, outcome=RunCompleted(b""))
    assert [line.output for line in (await driver.store.steps(run.id)).steps] == [b"\x01", None]


async def test_a_long_history_comes_in_pages_and_a_line_that_goes_on_later_comes_again(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("nap", Sleep(10)), AttemptFailed("flaky", 1, Failure("E", ""), 100))
    await driver.checkpoint(run, 2, StepDone("a", b"\x01"))
    driver.now += 10
    await driver.fire()
    await driver.checkpoint(run, 3, Seen(1), StepDone("flaky", b"\x01", attempts=2))
    pages = [await driver.store.steps(run.id, limit=2)]
    while (after := pages[-1].next) is not None:
        pages.append(await driver.store.steps(run.id, after, limit=2))
    assert [[(line.key, line.status) for line in page.steps] for page in pages] == [
        [("nap", "waiting"), ("flaky", "retrying")],
        [("a", "completed"), ("nap", "completed")],
        [("flaky", "completed")],
    ]


async def test_a_page_of_a_history_ends_early_when_its_lines_are_large(driver: Driver) -> None:
    run = await driver.running()
    for seq in range(1, 11):
        await driver.checkpoint(run, seq, StepDone(f"s{seq}", bytes(60_000)))
    first = await driver.store.steps(run.id)
    assert len(first.steps) == 5
    assert first.next is not None
    assert [line.key for line in (await driver.store.steps(run.id, first.next)).steps] == [
        f"s{n}" for n in range(6, 11)
    ]

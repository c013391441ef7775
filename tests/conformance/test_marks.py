"""What a run says of itself: tags by which it is found, and how far it is."""

from __future__ import annotations

import pytest
from onward_engine.model import Status
from onward_engine.store.port import Purge, RunFilter
from onward_protocol.messages import Progress, RunCompleted, StepDone, Tagged, WorkerEntry

from tests.conformance.driver import Driver


async def test_a_tag_has_its_newest_value(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Tagged({"customer": "42", "region": "eu"}, "t"))
    await driver.checkpoint(run, 2, Tagged({"region": "us"}, "u"))
    assert (await driver.get(run)).tags == {"customer": "42", "region": "us"}


async def test_runs_are_found_by_all_the_tags_that_are_asked_for(driver: Driver) -> None:
    first, second = await driver.running(), await driver.running()
    await driver.checkpoint(first, 1, Tagged({"a": "1", "b": "2"}))
    await driver.checkpoint(second, 1, Tagged({"a": "1"}))

    async def found(*tags: tuple[str, str]) -> list[str]:
        return [run.id for run in (await driver.store.runs(RunFilter(tags=tags))).runs]

    assert await found(("a", "1")) == [second.id, first.id]
    assert await found(("a", "1"), ("b", "2")) == [first.id]
    assert await found(("a", "2")) == []


async def test_tags_stay_with_a_run_that_is_over_and_go_when_it_is_deleted(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Tagged({"a": "1"}), outcome=RunCompleted(b""))
    assert (await driver.get(run)).tags == {"a": "1"}
    driver.now += 10
    await driver.one(Purge(driver.now, driver.now, driver.now))
    assert (await driver.store.runs(RunFilter(tags=(("a", "1"),)))).runs == ()


async def test_a_run_has_at_most_32_tags(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Tagged({f"k{n}": "" for n in range(30)}))
    await driver.checkpoint(run, 2, Tagged({"k0": "again", **{f"l{n}": "" for n in range(5)}}))
    tags = (await driver.get(run)).tags
    assert (len(tags), tags["k0"]) == (32, "again")


@pytest.mark.parametrize(
    "entry", [Tagged({"k" * 257: ""}), Tagged({"": "1"}), Tagged({"a": "\n"}), Progress(b"\xc4" * 9_000)]
)
async def test_what_no_worker_of_ours_sends_fails_its_run(driver: Driver, entry: WorkerEntry) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, entry)
    assert await driver.status(run) is Status.FAILED


async def test_only_the_newest_progress_is_kept_and_none_of_it_in_the_journal(driver: Driver) -> None:
    run = await driver.running()
    before = (await driver.get(run)).state_bytes
    for seq in range(1, 4):
        await driver.checkpoint(run, seq, Progress(bytes([seq])))
    assert [item.body for item in await driver.store.items("progress", run.id)] == [b"\x03"]
    assert (await driver.store.journal(run.id)).segments == ()
    assert ((await driver.get(run)).seq, (await driver.get(run)).state_bytes) == (3, before)


async def test_progress_beside_a_result_is_stored_with_it(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, StepDone("a", b"\x01"), Progress(b"\x05"))
    assert len((await driver.store.journal(run.id)).segments) == 1


async def test_progress_is_deleted_with_its_run(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Progress(b"\x01"), outcome=RunCompleted(b""))
    driver.now += 10
    await driver.one(Purge(driver.now, driver.now, driver.now))
    assert await driver.store.items("progress", run.id) == []

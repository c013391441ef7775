"""What has been committed is counted once, and every number has its line on the page of metrics."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from pathlib import Path

from onward_engine.commit import Committer
from onward_engine.counts import COMMIT_BUCKETS_S, Counts
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import ApplyCheckpoint, Claim, Present, Purge, Register, StartRun, TakeOver
from onward_protocol.codec import encode_entries
from onward_protocol.messages import AppManifest, FunctionManifest, RunCompleted, StepDone
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.engine.peer import engine
from tests.unit.engine.web import ask

WORK = FunctionManifest("shop/work")
PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


@contextlib.asynccontextmanager
async def counting() -> AsyncGenerator[tuple[Committer, Counts]]:
    """A committer at work on a store that knows a function, and what it is counted by."""
    committer = Committer(MemoryStore(is_shared=True), Settings())
    counts = Counts(committer)
    async with asyncio.TaskGroup() as group:
        await committer.start(group)
        await committer.commit(Register(1, AppManifest("shop", "", (WORK,))))
        yield committer, counts
        await committer.stop()


def frame(seq: int, epoch: int = 1, *, ends: bool = False) -> ApplyCheckpoint:
    entries = (StepDone(f"step{seq}", b"\x01"),)
    outcome = RunCompleted(b"\xc0") if ends else None
    return ApplyCheckpoint(1, "run_a", epoch, seq, "wrk_a", 1, encode_entries(entries), entries, outcome)


async def test_frames_are_counted_by_verdict() -> None:
    async with counting() as (committer, counts):
        await committer.commit(StartRun(1, "run_a", "shop/work", b""))
        await committer.commit(Claim(1, "claim_a", "wrk_a", 1, ("shop/work",), 5))
        for one in (frame(1), frame(1), frame(3), frame(2, epoch=7), frame(2, ends=True)):
            await committer.commit(one)
    assert counts.checkpoints == {"applied": 2, "duplicate": 1, "gap": 1, "stale": 1, "rejected": 0}
    assert (counts.fences, counts.assignments["shop/work"]) == (1, 1)
    assert dict(counts.happened) == {("started", "shop/work"): 1, ("completed", "shop/work"): 1}
    assert (len(counts.commits), sum(counts.commits)) == (len(COMMIT_BUCKETS_S) + 1, 8)


async def test_a_dead_engine_is_taken_over_by_one_of_the_others() -> None:
    async with counting() as (committer, counts):
        await committer.commit(Present(1, "dead", 5_000))
        for _ in range(2):
            await committer.commit(TakeOver(9_000, "dead", 4_000, 9_000, 10))
    assert counts.replica_takeovers == 1


async def test_what_is_deleted_is_counted() -> None:
    async with counting() as (committer, counts):
        await committer.commit(StartRun(1, "run_a", "shop/work", b""))
        await committer.commit(Claim(1, "claim_a", "wrk_a", 1, ("shop/work",), 5))
        await committer.commit(frame(1, ends=True))
        for _ in range(2):
            await committer.commit(Purge(9_000, runs_before_ms=8_000, events_before_ms=8_000))
    assert (counts.deleted_runs, counts.deleted_events) == (1, 0)


async def test_the_page_in_the_docs_names_what_an_engine_has_and_nothing_else() -> None:
    async with engine() as running:
        answer = await ask(running.app, "GET", "/metrics")
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(answer.body.decode())
    }
    assert set(re.findall(r"^\| `(onward_\w+)", PAGE.read_text("utf-8"), flags=re.MULTILINE)) == families

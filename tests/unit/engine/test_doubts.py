"""Conditions that cannot be evaluated are counted, and told without flooding the log."""

from __future__ import annotations

import asyncio

from onward_engine.commit import Committer
from onward_engine.doubts import Doubts
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Ingest, NewEvent, Register
from onward_protocol.messages import AppManifest, Event, FunctionManifest, Trigger
from structlog.testing import capture_logs

LARGE = FunctionManifest("shop/large", (Trigger("order", "event.data.total > 100"),))


async def send(committer: Committer, data: bytes, count: int) -> None:
    for number in range(count):
        event = Event(f"evt_{data!r}_{number}", "order", data, 1, 0)
        await committer.commit(Ingest(1, (NewEvent(event),)))


async def test_a_mistake_that_a_thousand_events_meet_is_ten_lines() -> None:
    committer = Committer(MemoryStore(), Settings())
    doubts = Doubts(committer)
    async with asyncio.TaskGroup() as group:
        await committer.start(group)
        await committer.commit(Register(1, AppManifest("shop", "", (LARGE,))))
        with capture_logs() as lines:
            await send(committer, b'{"total":"much"}', 1_000)
            await send(committer, b'{"total":7}', 10)
        await committer.stop()
    assert doubts.counts == {"shop/large": 1_000}
    assert [line["times"] for line in lines] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert (lines[0]["function"], lines[0]["log_level"]) == ("shop/large", "warning")
    assert "> does not work with string and int" in lines[0]["reason"]

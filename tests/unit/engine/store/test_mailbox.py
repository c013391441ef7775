"""How much of what a run does not wait for yet is kept for it."""

from __future__ import annotations

from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import SendSignal
from onward_protocol.limits import Limits
from onward_protocol.messages import SignalWait, WaitOpened

from tests.conformance.driver import Driver, function


async def test_kept_signals_are_a_part_of_what_a_run_may_be() -> None:
    driver = Driver(MemoryStore(Limits(state_bytes_max=1_000)))
    await driver.register(function("work"))
    run = await driver.running()

    async def send(size: int) -> str:
        return (await driver.one(SendSignal(driver.now, run.id, "go", bytes(size)))).verdict

    assert [await send(size) for size in (400, 400, 400, 100)] == ["kept", "kept", "full", "kept"]
    await driver.checkpoint(run, 1, WaitOpened("s", SignalWait("go")))
    assert await send(400) == "full"  # it is in the journal now

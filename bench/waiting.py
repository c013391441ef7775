"""A database full of runs that wait, made without a worker: an engine that is started on it finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from onward_engine.store.port import ApplyCheckpoint, Claim, Enter, Op, Orphan, Register, StartRun
from onward_engine.store.sqlite import SqliteStore
from onward_protocol.codec import encode_entries
from onward_protocol.messages import AppManifest, FunctionManifest, Parked, Trigger, Wait, WaitOpened

FUNCTION = "bench/waits"
EXACT, PREFIXES = 100, 20
APP = AppManifest(
    "bench",
    functions=(
        FunctionManifest(FUNCTION),
        *(FunctionManifest(f"bench/on-{n}", (Trigger(f"bench/event-{n}"),)) for n in range(EXACT)),
        *(
            FunctionManifest(f"bench/below-{n}", (Trigger(f"area-{n}/*", f"event.data.n == {n}"),))
            for n in range(PREFIXES)
        ),
    ),
)
_BATCH = 1_000
_WORKER = "wrk_bench"


async def fill(path: Path, count: int, wait: Callable[[int], Wait], now_ms: int) -> list[str]:
    """Park so many runs, each in a wait of its own; returns their ids."""
    store = SqliteStore(path, inline=True)
    await store.open()
    try:
        enter = Enter(now_ms, _WORKER, "", 0, "secret", "nobody")
        await store.apply([Register(now_ms, APP), enter])
        runs = [f"run_{n:06}" for n in range(count)]
        for begin in range(0, count, _BATCH):
            await _park(store, runs[begin : begin + _BATCH], begin, wait, now_ms)
        await store.apply([Orphan(now_ms, _WORKER, 1, now_ms, ())])
        return runs
    finally:
        await store.close()


async def _park(store: SqliteStore, runs: Sequence[str], begin: int, wait: Callable[[int], Wait], now_ms: int) -> None:
    starts: list[Op[object]] = [StartRun(now_ms, run, FUNCTION, b"\xc0") for run in runs]
    await store.apply([*starts, Claim(now_ms, f"claim_{begin}", _WORKER, 1, (FUNCTION,), len(runs))])
    await store.apply([_frame(run, wait(begin + n), now_ms) for n, run in enumerate(runs)])


def _frame(run: str, wait: Wait, now_ms: int) -> ApplyCheckpoint:
    entries = (WaitOpened("wait", wait),)
    return ApplyCheckpoint(now_ms, run, 1, 1, _WORKER, 1, encode_entries(entries), entries, Parked())

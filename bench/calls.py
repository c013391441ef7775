"""Questions to the engine about many runs at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from onward import Client, Function
from onward.calls import RunRecord

from .cluster import PATIENCE

T = TypeVar("T")

PAGE = 200
AT_ONCE = 8


async def newest_over(client: Client, function: Function[Any, Any], count: int) -> list[RunRecord]:
    """Return the function's newest `count` runs once all of them are over."""
    while True:
        found = await _newest(client, function, count)
        if all(run.is_over for run in found):
            return found
        await asyncio.sleep(0.002)


async def all_over(client: Client, ids: Sequence[str]) -> list[RunRecord]:
    """Return these runs once all of them are over."""

    async def wait(run: str) -> RunRecord:
        return await client.wait(run, timeout=PATIENCE)

    return await _each(wait, ids)


async def records(client: Client, ids: Sequence[str]) -> list[RunRecord]:
    """Return these runs as they are."""
    return await _each(client.get_run, ids)


async def outputs(client: Client, ids: Sequence[str]) -> list[Any]:
    """Return the results of these runs."""
    return [msgspec.msgpack.decode(output) for output in await _each(client.output, ids)]


async def _each(ask: Callable[[str], Awaitable[T]], ids: Sequence[str]) -> list[T]:
    """Ask about every run, a few at a time, and return the answers in their order."""
    answers: dict[str, T] = {}

    async def lane(part: Sequence[str]) -> None:
        for run in part:
            answers[run] = await ask(run)

    await asyncio.gather(*(lane(ids[first::AT_ONCE]) for first in range(AT_ONCE)))
    return [answers[run] for run in ids]


async def _newest(client: Client, function: Function[Any, Any], count: int) -> list[RunRecord]:
    found: list[RunRecord] = []
    cursor: str | None = None
    while len(found) < count:
        page = await client.list_runs(function=function, limit=min(PAGE, count - len(found)), cursor=cursor)
        found += page.runs
        cursor = page.cursor
        if cursor is None:
            break
    return found

"""The functions of `bench.flow`: `worker run bench.flow_work:functions`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from onward import App, Concurrency, Context, EventType, Fair, Function, Priority

from .work import mixed

APP = "bench.flow_work:functions"
SLOTS = 10
"""Of the worker where many runs wait for one."""

BUSY_S = 0.005
FUNCTIONS = 10
PLACES = 200

functions = App("flow")


@dataclass(frozen=True)
class Turn:
    """A run in a queue. `sent_ns` is when its event was sent, on the clock that all processes of a machine share."""

    number: int
    key: str = ""
    rank: int | str = 0
    sent_ns: int = 0


# -- a freed place -----------------------------------------------------------------------------------------------------

Lined = EventType("flow/lined", Turn)


@functions.on(Lined, concurrency=Concurrency(1, key="event.data.key"))
async def lined(ctx: Context[Turn]) -> tuple[int, int]:
    """Return the moments of the first and of the last line."""
    begun_ns = time.monotonic_ns()
    await asyncio.sleep(BUSY_S)
    return begun_ns, time.monotonic_ns()


# -- many queues -------------------------------------------------------------------------------------------------------


async def _mix(ctx: Context[Turn]) -> int:
    return mixed(ctx.data.number)


KEYED: list[EventType[Turn]] = [EventType(f"flow/keyed-{number}", Turn) for number in range(FUNCTIONS)]
MIXERS: list[Function[Turn, int]] = [
    functions.on(event, id=f"keyed-{number}", concurrency=Concurrency(PLACES, key="event.data.key"))(_mix)
    for number, event in enumerate(KEYED)
]


# -- one among many ----------------------------------------------------------------------------------------------------

_begun: deque[int] = deque(maxlen=100_000)
"""When the runs of a crowd began."""


async def _busy(ctx: Context[Turn]) -> tuple[int, int]:
    """Return the moment of the first line, and how many others have begun since the event was sent."""
    begun_ns = time.monotonic_ns()
    if sent_ns := ctx.data.sent_ns:
        return begun_ns, sum(other_ns > sent_ns for other_ns in _begun)
    _begun.append(begun_ns)
    await asyncio.sleep(BUSY_S)
    return begun_ns, 0


Shared = EventType("flow/shared", Turn)
Ranked = EventType("flow/ranked", Turn)
shared = functions.on(Shared, id="shared", fair=Fair("event.data.key"))(_busy)
ranked = functions.on(Ranked, id="ranked", priority=Priority("event.data.rank"))(_busy)

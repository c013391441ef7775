"""The functions that the benchmarks run: `worker run bench.work:functions`.

What they return can be computed without them, so that every benchmark can check what it was given.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from msgspec import Struct
from onward import App, Checkpoint, Context, EventType, Function, step

PRESETS: dict[str, Checkpoint] = {
    "SAFE": Checkpoint.SAFE,
    "PIPELINED": Checkpoint.PIPELINED,
    "BLENDED": Checkpoint.BLENDED,
    "PERFORMANT": Checkpoint.PERFORMANT,
    "OFF": Checkpoint.OFF,
}
STREAMING = ("SAFE", "PIPELINED")
"""The presets that send every result at once: those with bars for many steps."""

functions = App("bench")


@dataclass(frozen=True)
class Job:
    number: int


@step
async def tick() -> int:
    """Nothing but the moment at which the body ran, in nanoseconds."""
    return time.perf_counter_ns()


@step
async def mix(value: int) -> int:
    return mixed(value)


def mixed(value: int) -> int:
    """One round of a linear congruential generator: cheap, and wrong in every later step once a result is wrong."""
    return (value * 1_103_515_245 + 12_345) % 2**31


def mixed_often(value: int, times: int) -> int:
    for _ in range(times):
        value = mixed(value)
    return value


# -- step_latency ------------------------------------------------------------------------------------------------------


async def ticks(ctx: Context[int]) -> list[int]:
    return [await tick() for _ in range(ctx.data)]


SEQUENCES: dict[str, Function[int, list[int]]] = {
    name: functions.function(int, id=f"sequence-{name.lower()}", checkpoint=preset)(ticks)
    for name, preset in PRESETS.items()
}


# -- throughput --------------------------------------------------------------------------------------------------------

STEPS = 10


async def ten(ctx: Context[Job]) -> int:
    """Ten steps, each of which needs the one before."""
    value = ctx.data.number
    for _ in range(STEPS):
        value = await mix(value)
    return value


JOBS: dict[str, EventType[Job]] = {name: EventType(f"bench/job.{name.lower()}", Job) for name in STREAMING}
TENS: dict[str, Function[Job, int]] = {
    name: functions.on(JOBS[name], id=f"ten-{name.lower()}", checkpoint=PRESETS[name])(ten) for name in STREAMING
}


# -- start_latency -----------------------------------------------------------------------------------------------------

Started = EventType("bench/started", Job)


@functions.on(Started)
async def first_line(ctx: Context[Job]) -> tuple[int, int]:
    """The moment of the first line of user code, on the clock that all processes of a machine share."""
    begun_ns = time.monotonic_ns()
    return ctx.data.number, begun_ns


@functions.function(int)
async def one_step(ctx: Context[int]) -> int:
    return await mix(ctx.data)


# -- fanout ------------------------------------------------------------------------------------------------------------


@functions.function(int)
async def fan(ctx: Context[int]) -> tuple[int, int]:
    """One step, `data` parallel ones, one step. Returns the nanoseconds from the first line to the last one, which
    comes after the last step is durable, and the result.
    """
    begun_ns = time.perf_counter_ns()
    first = await mix(0)
    parts = await asyncio.gather(*(mix(first + n) for n in range(ctx.data)))
    last = await mix(sum(parts))
    return time.perf_counter_ns() - begun_ns, last


def fanned(width: int) -> int:
    """What `fan` has to find."""
    first = mixed(0)
    return mixed(sum(mixed(first + n) for n in range(width)))


# -- long_run ----------------------------------------------------------------------------------------------------------

BLOCK = 1_000


class Journey(Struct, frozen=True):
    """A run that is long: the moments of its blocks on the clock that all processes share, and where it got to."""

    blocks_ns: tuple[int, ...]
    value: int


async def travel(ctx: Context[int]) -> Journey:
    value, blocks = 0, [time.monotonic_ns()]
    for n in range(1, ctx.data + 1):
        value = await mix(value)
        if n % BLOCK == 0:
            blocks.append(time.monotonic_ns())
    return Journey(tuple(blocks), value)


JOURNEYS: dict[str, Function[int, Journey]] = {
    name: functions.function(int, id=f"travel-{name.lower()}", checkpoint=PRESETS[name])(travel) for name in STREAMING
}


class Stop(Struct, frozen=True):
    """Where a run stops until its worker is killed: after so many steps, as the first one that creates the file."""

    steps: int
    marker: str

    @property
    def marker_path(self) -> Path:
        return Path(self.marker)


@step
async def stop_once(marker: str) -> int:
    """Wait for ever the first time. After that, say when it was."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return time.monotonic_ns()
    await asyncio.Event().wait()
    raise AssertionError("nobody ends this wait but the end of the process")


@functions.function(Stop, checkpoint=Checkpoint.PIPELINED)
async def stop(ctx: Context[Stop]) -> tuple[int, int]:
    value = 0
    for _ in range(ctx.data.steps):
        value = await mix(value)
    return value, await stop_once(ctx.data.marker)


# -- takeover ----------------------------------------------------------------------------------------------------------

BEAT_S = 0.25


class Pulse(Struct, frozen=True):
    """A run that notes the moment of each of its steps in a file: its number, the step, nanoseconds."""

    number: int
    steps: int
    notes: str


@step
async def beat(number: int, n: int, notes: str) -> int:
    out = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, f"{number} {n} {time.monotonic_ns()}\n".encode())
    os.close(out)
    await asyncio.sleep(BEAT_S)
    return mixed(number + n)


@functions.function(Pulse)
async def pulse(ctx: Context[Pulse]) -> int:
    data = ctx.data
    return sum([await beat(data.number, n, data.notes) for n in range(data.steps)])


# -- backlog -----------------------------------------------------------------------------------------------------------

Queued = EventType("bench/queued", Job)


@functions.on(Queued)
async def queued(ctx: Context[Job]) -> int:
    return mixed(ctx.data.number)


# -- payload -----------------------------------------------------------------------------------------------------------


class Parcels(Struct, frozen=True):
    """So many steps, each with an output of so many bytes."""

    count: int
    size: int


class Delivered(Struct, frozen=True):
    """The moments at which the bodies began, in nanoseconds, and the last output."""

    begun_ns: tuple[int, ...]
    last: bytes


@cache
def noise(size: int) -> bytes:
    """Bytes that do not compress."""
    return Random(size).randbytes(size)


def parcel(number: int, size: int) -> bytes:
    return number.to_bytes(8, "big") + noise(size)[8:]


@step
async def pack(number: int, size: int) -> bytes:
    return parcel(number, size)


@functions.function(Parcels)
async def deliver(ctx: Context[Parcels]) -> Delivered:
    begun: list[int] = []
    output = b""
    for number in range(ctx.data.count):
        begun.append(time.perf_counter_ns())
        output = await pack(number, ctx.data.size)
        if int.from_bytes(output[:8], "big") != number or len(output) != ctx.data.size:
            raise ValueError(f"the parcel {number} is another one")
    begun.append(time.perf_counter_ns())
    return Delivered(tuple(begun), output)

"""What the functions of flow control do: they note when they come in and go out. How many were inside at once, and in
which order, is then read from their notes and not from the engine's books.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.acceptance.bodies import stand_at
from tests.support.processes import note

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from onward import Event, EventType
    from onward.sync_client import SyncRunHandle

    from tests.acceptance.house import House

STAY_S = 0.02
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS


@dataclass
class Job:
    """What a run is asked to do. `name` is the test's."""

    name: str
    key: str = "-"
    number: int = 0


class Line(NamedTuple):
    """One line that a body noted, or ("died", "", 0, pid)."""

    verb: str
    key: str
    number: int
    pid: int


@asynccontextmanager
async def inside(job: Job) -> AsyncGenerator[None]:
    """Note that the run comes in, and that it goes out; one that fails or is cancelled has left."""
    verb = "left"
    note("in", job.name, job.key, job.number, os.getpid())
    try:
        yield
        verb = "out"
    finally:
        note(verb, job.name, job.key, job.number, os.getpid())


async def stay(job: Job) -> int:
    """Be inside for a moment."""
    async with inside(job):
        await asyncio.sleep(STAY_S)
    return job.number


async def stand(job: Job) -> int:
    """Be inside until the test opens the gate with the job's name and key."""
    async with inside(job):
        await stand_at(f"{job.name} {job.key}")
    return job.number


def lines(house: House, name: str) -> list[Line]:
    """Return what the bodies of a test have noted, in the order in which it happened."""
    return list(_read(house.notes(), name))


def _read(notes: Sequence[str], name: str) -> Iterator[Line]:
    for words in map(str.split, notes):
        match words:
            case [("in" | "out" | "left") as verb, owner, key, number, pid] if owner == name:
                yield Line(verb, key, int(number), int(pid))
            case ["died", pid]:
                yield Line("died", "", 0, int(pid))
            case _:
                pass


def came_in(house: House, name: str, key: str = "") -> list[int]:
    """Return the numbers of those that came in, in their order; of all keys without one."""
    return [line.number for line in lines(house, name) if line.verb == "in" and key in ("", line.key)]


def workers_of(house: House, name: str) -> list[int]:
    """Return the processes of those that came in, in their order."""
    return [line.pid for line in lines(house, name) if line.verb == "in"]


def most_inside(found: Sequence[Line], key: str = "") -> int:
    """Return how many were inside at once. Who was inside a process that died is not any more."""
    inside_now: Counter[tuple[str, int, int]] = Counter()
    most = 0
    for line in found:
        who = line[1:]
        match line.verb:
            case "in" if key in ("", line.key):
                inside_now[who] += 1
            case "out" | "left":
                inside_now.pop(who, None)
            case "died":
                inside_now = Counter({who: count for who, count in inside_now.items() if who[2] != line.pid})
            case _:
                pass
        most = max(most, inside_now.total())
    return most


def wait_inside(house: House, name: str, count: int, key: str = "") -> None:
    """Wait until so many have come in."""
    house.until(lambda: len(came_in(house, name, key)) >= count, f"{count} of {name} {key} have come in")


def send_each(house: House, event: EventType[Job], jobs: Sequence[Job]) -> list[SyncRunHandle[Any]]:
    """Send events one by one: each is answered before the next one is sent. Return the run of each."""
    return [run for job in jobs for run in house.send(event(job))]


def ends(house: House, runs: Sequence[SyncRunHandle[Any]]) -> Counter[str]:
    """Return how many runs end how."""
    return Counter(house.status(run) for run in runs)


def send_at_once(house: House, events: Sequence[Event[Job]]) -> list[SyncRunHandle[Any]]:
    """Send each event from a thread of its own, to several engines if there are any. Return the run of each."""
    with ThreadPoolExecutor(len(events)) as threads:
        return [run for sent in threads.map(house.send, events) for run in sent]


def in_order(house: House, name: str, runs: Sequence[SyncRunHandle[Any]]) -> list[int]:
    """Return the numbers of those that came in when all of these runs have completed."""
    assert ends(house, runs) == {"completed": len(runs)}
    return came_in(house, name)


def replace_worker_of(house: House, pid: int) -> None:
    """Kill the worker whose process this is, and start another one in its place."""
    [name] = [name for name in house.processes if "worker" in name and house.pid_of_worker(name) == pid]
    house.kill_worker(name)
    house.start_worker(name)

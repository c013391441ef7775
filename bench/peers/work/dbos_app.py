"""The work on DBOS and the load on it: a library, so worker and load are one process and nothing is sent anywhere.

    python -m bench.peers.work.dbos_app DATABASE_URL

Plain functions called in threads, as many as runs are to be in flight, are the fastest of what DBOS offers (measured
against `start_workflow` and against coroutines); only `fan` is a coroutine, because parallel steps need `gather`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy
from dbos import DBOS
from dbos._dbos import _get_dbos_instance

from . import load
from .steps import STEPS, mixed, now_ns

THREADS = 100
FACTS = {
    "sqlite": {
        "sqlite": "SELECT sqlite_version()",
        "journal_mode": "PRAGMA journal_mode",
        "synchronous": "PRAGMA synchronous",
    },
    "postgresql": {
        "postgresql": "SHOW server_version",
        "fsync": "SHOW fsync",
        "synchronous_commit": "SHOW synchronous_commit",
    },
}


@DBOS.step()
def tick() -> int:
    return now_ns()


@DBOS.step()
def mix(value: int) -> int:
    return mixed(value)


@DBOS.step()
async def mix_soon(value: int) -> int:
    return mixed(value)


@DBOS.workflow()
def ticks(count: int) -> list[int]:
    return [tick() for _ in range(count)]


@DBOS.workflow()
def ten(number: int) -> int:
    value = number
    for _ in range(STEPS):
        value = mix(value)
    return value


@DBOS.workflow()
def first_line(number: int) -> tuple[int, int]:
    begun_ns = now_ns()
    return number, begun_ns


@DBOS.workflow()
async def fan(width: int) -> tuple[int, int]:
    begun_ns = now_ns()
    first = await mix_soon(0)
    parts = await asyncio.gather(*(mix_soon(first + n) for n in range(width)))
    last = await mix_soon(sum(parts))
    return now_ns() - begun_ns, last


PLAIN: dict[str, Callable[[int], Any]] = {"ticks": ticks, "ten": ten, "first_line": first_line}


def timed(function: str, argument: int) -> tuple[int, Any]:
    """Run a plain function in this thread; the way to the thread is ours and not DBOS's, so it is not counted."""
    asked_ns = now_ns()
    return asked_ns, PLAIN[function](argument)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(THREADS)

    async def call(function: str, argument: int) -> tuple[int, Any]:
        if function == "fan":
            return now_ns(), await fan(argument)
        return await loop.run_in_executor(threads, timed, function, argument)

    await load.serve(call, facts())


def facts() -> dict[str, object]:
    """What the database says about itself on one of DBOS's own connections: DBOS has no public name for them."""
    engine = _get_dbos_instance()._sys_db.engine
    with engine.connect() as connection:
        asked = FACTS[engine.dialect.name]
        return {name: connection.execute(sqlalchemy.text(query)).scalar() for name, query in asked.items()}


if __name__ == "__main__":
    DBOS(config={"name": "bench", "system_database_url": sys.argv[1], "log_level": "ERROR"})
    DBOS.launch()
    asyncio.run(serve())

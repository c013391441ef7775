"""Does flow control admit the same runs, in the same order and at the same moments, whichever store keeps the queues?

    python -m tests.flow [--programs 2000] [--from 0] [--jobs 2] [--without-postgres]

Each program has random functions with all options, and events, completions, deaths and time for them. It is played in
memory, where a judge looks on, on SQLite, and on PostgreSQL with one and with three replicas. Ends with 1 if a program
goes another way anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

from tests.support.campaign import be_quiet
from tests.support.flow_programs import Author, Program
from tests.support.flow_stores import on_postgres, on_sqlite
from tests.support.postgres import PostgresServer

PER_PART = 100
SHOWN = 5
MEMORY = Path("/dev/shm")
"""Files there are as safe as is needed here, and nobody waits for a disk."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2_000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--without-postgres", action="store_true")
    given = parser.parse_args()
    begun_s, end = time.monotonic(), given.first + given.programs
    size = min(PER_PART, -(-given.programs // given.jobs))
    parts = [(range(n, min(n + size, end)), not given.without_postgres) for n in range(given.first, end, size)]
    problems: list[str] = []
    seen: Counter[str] = Counter()
    with get_context("spawn").Pool(given.jobs, be_quiet) as pool:
        for found, counts in pool.imap_unordered(played, parts):
            problems += found
            seen += counts
            print(f"{seen['programs']} programs", end="\r", flush=True)
    print(*problems[:SHOWN], sep="\n", end="\n" if problems else "")
    print(f"{given.programs} programs, {len(problems)} went wrong, {time.monotonic() - begun_s:.0f} s: {dict(seen)}")
    sys.exit(1 if problems else 0)


def played(part: tuple[range, bool]) -> tuple[list[str], Counter[str]]:
    """Play some programs; return what was wrong, and how much happened in them."""
    seeds, has_postgres = part
    with ExitStack() as stack:
        where = MEMORY if MEMORY.is_dir() else None
        quick = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onward-flow-", dir=where)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onward-flow-")))
        server = PostgresServer(folder) if has_postgres else None
        if server is not None:
            server.start()
            stack.callback(server.stop)
        return asyncio.run(_played(seeds, quick, server))


async def _played(seeds: range, folder: Path, server: PostgresServer | None) -> tuple[list[str], Counter[str]]:
    problems: list[str] = []
    seen: Counter[str] = Counter()
    for seed in seeds:
        seen["programs"] += 1
        try:
            program = await Author(seed).write()
        except AssertionError as stuck:
            problems.append(f"program {seed}, memory: {stuck}")
            continue
        found = await _everywhere(program, folder, server)
        problems += [f"program {seed}, {where}: {line}" for where, lines in found.items() for line in lines]
        seen += program.counts()
    return problems, seen


async def _everywhere(program: Program, folder: Path, server: PostgresServer | None) -> dict[str, list[str]]:
    found = {"memory": program.problems, "sqlite": await on_sqlite(program, folder)}
    for replicas in (1, 3) if server else ():
        assert server is not None, "it was started"
        found[f"postgres with {replicas}"] = await on_postgres(program, server, replicas)
    return found


if __name__ == "__main__":
    main()

"""Whether ever more runs were inside than their limits allow, told by the runs; and what is left in the store."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tests.limits.work import LANES, Lane, Line

LEFT = ("place", "queue", "wait", "live")
"""Tables of which nothing may be left when all runs are over."""


@dataclass
class Verdict:
    """What became of a campaign. `most` is how many were inside of each limit at once, at most."""

    problems: list[str] = field(default_factory=list[str])
    admissions: int = 0
    most: dict[str, int] = field(default_factory=dict[str, int])
    kills: int = 0
    killed_inside: int = 0
    """Runs that were inside of a worker when that was killed."""


def judge(lines: Iterable[Line], deaths_ns: Mapping[str, int]) -> Verdict:
    """Go through all that was noted in the order of time. Who is inside of a killed worker leaves when that dies."""
    verdict = Verdict(kills=len(deaths_ns))
    crowds: defaultdict[tuple[Lane, str], dict[str, str]] = defaultdict(dict)  # in which worker each run is
    most: Counter[str] = Counter()
    deaths = [Line("x", at_ns, "", "", "", worker) for worker, at_ns in deaths_ns.items()]
    for line in sorted([*lines, *deaths], key=lambda line: line.at_ns):
        if line.verb == "x":
            verdict.killed_inside += _bury(line.worker, crowds.values())
        for lane, key in _lanes(line):
            crowd = crowds[lane, key]
            if line.verb == "+":
                crowd[line.run] = line.worker
            elif crowd.get(line.run) == line.worker:  # else it has gone on elsewhere
                del crowd[line.run]
            most[lane.name] = max(most[lane.name], len(crowd))
            if len(crowd) > lane.limit:
                verdict.problems.append(f"{len(crowd)} inside of {lane.name} {key} at {line.at_ns}: {sorted(crowd)}")
        verdict.admissions += line.verb == "+"
    verdict.most = dict(most)
    return verdict


def _lanes(line: Line) -> Iterator[tuple[Lane, str]]:
    for lane in LANES[line.function] if line.verb in "+-" else ():
        yield lane, line.key if lane.is_keyed else ""


def _bury(worker: str, crowds: Iterable[dict[str, str]]) -> int:
    """Let the runs of a dead worker leave; return how many there were."""
    dead = {run for crowd in crowds for run, where in crowd.items() if where == worker}
    for crowd in crowds:
        for run in dead:
            crowd.pop(run, None)
    return len(dead)


async def left_in_postgres(url: str) -> list[str]:
    """Return what is left in the tables that should be empty."""
    connection = await asyncpg.connect(url)
    try:
        counts = {name: await connection.fetchval(f"SELECT count(*) FROM onward.{name}") for name in LEFT}
    finally:
        await connection.close()
    return [f"{count} rows are left in {name}" for name, count in counts.items() if count]


def left_in_sqlite(path: Path) -> list[str]:
    """Return what is left in the tables that should be empty."""
    connection = sqlite3.connect(path)
    try:
        counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in LEFT}
    finally:
        connection.close()
    return [f"{count} rows are left in {name}" for name, count in counts.items() if count]

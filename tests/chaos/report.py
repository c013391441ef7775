"""The totals of campaigns: as JSON, one line for each, and as the table of docs/chaos.md.

python -m tests.chaos.report        # writes the largest campaign of each kind into docs/chaos.md
"""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.chaos.rounds import Total

RESULTS = Path("build/chaos.json")
PAGE = Path("docs/chaos.md")
BEGIN, END = "<!-- totals -->\n", "<!-- end of totals -->\n"
HEAD = "| campaign | faults | runs | steps | lost | stale | bodies repeated | back after, p50 | p99 | seconds |\n"


class Line(Struct, frozen=True):
    """One campaign."""

    kind: str
    at: str
    machine: str
    faults: int
    rounds: int
    runs: int
    steps: int
    executions: int
    repeated: int
    stale: int
    broken: int
    p50_ms: int | None
    p99_ms: int | None
    took_s: float


def line_of(total: Total) -> Line:
    """Return what is kept of a campaign."""
    verdict = total.verdict
    ordered = sorted(verdict.recoveries_ms)
    return Line(
        kind=total.kind,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        faults=total.kills,
        rounds=total.rounds,
        runs=verdict.runs,
        steps=verdict.steps,
        executions=verdict.executions,
        repeated=verdict.repeated,
        stale=verdict.stale,
        broken=len(verdict.problems),
        p50_ms=ordered[len(ordered) // 2] if ordered else None,
        p99_ms=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] if ordered else None,
        took_s=round(total.took_s, 1),
    )


def keep(total: Total) -> None:
    """Append the totals to the results."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("ab") as out:
        out.write(msgspec.json.encode(line_of(total)) + b"\n")


def describe(total: Total) -> str:
    """Return the totals in a line."""
    line = line_of(total)
    return (
        f"{line.kind}: {line.faults:,} faults in {line.took_s:,.0f} s, {line.runs:,} runs, {line.steps:,} steps, "
        f"{line.broken} promises broken, {line.stale} stale, {line.repeated:,} bodies repeated, "
        f"back after {line.p50_ms} ms (p50), {line.p99_ms} ms (p99)"
    )


def main() -> None:
    lines = [msgspec.json.decode(text, type=Line) for text in RESULTS.read_bytes().splitlines()]
    largest = {line.kind: line for line in sorted(lines, key=lambda line: (line.faults, line.at))}
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table(list(largest.values())) + END + after, encoding="utf-8")


def table(lines: list[Line]) -> str:
    """Return a table of campaigns."""
    rows = [
        f"| {line.kind} | {line.faults:,} | {line.runs:,} | {line.steps:,} | {line.broken} | {line.stale} "
        f"| {line.repeated:,} | {_shown(line.p50_ms)} | {_shown(line.p99_ms)} | {line.took_s:,.0f} |\n"
        for line in lines
    ]
    return HEAD + "|" + " --- |" * (HEAD.count("|") - 1) + "\n" + "".join(rows) + f"\nOn {lines[0].machine}.\n"


def _shown(ms: int | None) -> str:
    return "" if ms is None else f"{ms:,} ms"


if __name__ == "__main__":
    main()

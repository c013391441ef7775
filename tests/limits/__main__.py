"""Is a limit ever exceeded, whoever is killed? Told by what the functions note, not by what the engine believes.

    python -m tests.limits [--admissions 100000] [--seed 0] [--postgres] [--workers 4]

Functions with all kinds of concurrency limits and a singleton, over a hundred keys, end well, badly or cancelled, while
workers and engines are killed. Ends with 1 if ever too many were inside, if a run does not end, or if a place is left.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.limits.campaign import Order, campaign

SHOWN = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--admissions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--postgres", action="store_true", help="three engines on PostgreSQL instead of one on SQLite")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="onward-limits-"))
    begun_s = time.monotonic()
    order = Order(given.admissions, seed=given.seed, workers=given.workers, is_postgres=given.postgres)
    verdict = asyncio.run(campaign(order, folder / "arena"))
    print(*verdict.problems[:SHOWN], sep="\n", end="\n" if verdict.problems else "")
    print(
        f"{verdict.admissions:,} admissions, {verdict.kills} kills with {verdict.killed_inside} runs inside, "
        f"{len(verdict.problems)} problems, {time.monotonic() - begun_s:.0f} s; most inside: {verdict.most}"
    )
    if verdict.problems:
        print(f"what was written is in {folder}")
    sys.exit(1 if verdict.problems else 0)


if __name__ == "__main__":
    main()

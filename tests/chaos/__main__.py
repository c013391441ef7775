"""Real processes that are killed and stopped under load, and whether every promise was kept.

    python -m tests.chaos engine --kills 2000 --seed 0
    python -m tests.chaos engine worker zombie --kills 200

Each arena has engines, workers and clients of its own; several play at the same time. Ends with 1 if a promise was
broken: the folder of that round stays, with the ledger and the store. The totals are appended to build/chaos.json.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.report import describe, keep
from tests.chaos.rounds import KINDS, campaign

PER_ROUND = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lanes", type=int, default=3, help="arenas at a time")
    parser.add_argument("--per-round", type=int, default=PER_ROUND, help="kills before all is checked")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="onward-chaos-"))
    is_broken = False
    for kind in given.kinds:
        total = asyncio.run(
            campaign(KINDS[kind], given.kills, given.seed, folder, lanes=given.lanes, per_round=given.per_round)
        )
        keep(total)
        print(*total.verdict.problems[:20], sep="\n", end="\n" if total.verdict.problems else "")
        print(describe(total), flush=True)
        is_broken = is_broken or bool(total.verdict.problems)
    if is_broken:
        print(f"what was written is in {folder}")
    sys.exit(1 if is_broken else 0)


if __name__ == "__main__":
    main()

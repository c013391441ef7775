"""Many simulations: engines, workers and clients on one seed each, while everything breaks that may break.

    python -m tests.sim [--seeds 2000] [--from 0] [--jobs 2]
    python -m tests.sim --seed 4711

Ends with 1 if a promise was broken; each failure comes with the command that repeats it.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.support.campaign import be_quiet, campaign, play


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="only this one, with everything that engine and workers say")
    given = parser.parse_args()
    sys.exit(one(given.seed) if given.seed is not None else many(given.first, given.seeds, given.jobs))


def one(seed: int) -> int:
    problems, marks = play(seed)
    print(*problems or ["all promises were kept"], sep="\n")
    print(", ".join(f"{mark} {count}" for mark, count in sorted(marks.items()) if " x " not in mark))
    return 1 if problems else 0


def many(first: int, seeds: int, jobs: int) -> int:
    def tell(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:,} of {seeds:,}", end="", file=sys.stderr, flush=True)

    be_quiet()
    found = campaign(range(first, first + seeds), jobs, tell=tell)
    print(*found.failures, sep="\n", end="\n" if found.failures else "")
    print(f"{found.seeds:,} seeds, {len(found.failures)} failed, {found.rate:.0f}/s on {jobs} cores")
    return 1 if found.failures else 0


if __name__ == "__main__":
    main()

"""Does the simulation notice when a safeguard is missing?

    python -m tests.mutants [NAME...] [--seeds 2000] [--from 0] [--jobs 2]

Each mutant is the product without one safeguard. It has to be caught within so many seeds; the table says by which seed
and by which promise. Ends with 1 if one is not caught.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.support.campaign import be_quiet
from tests.support.mutants import MUTANTS, caught_at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all without any")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    names = list[str](given.names or MUTANTS)
    seeds = range(given.first, given.first + given.seeds)
    missed = 0
    with ProcessPoolExecutor(given.jobs, initializer=be_quiet) as pool:
        for name, found in zip(names, pool.map(caught_at, names, [seeds] * len(names)), strict=True):
            missed += found is None
            where = "NOT CAUGHT" if found is None else f"seed {found[0]:>4}: {found[1]}"
            print(f"{MUTANTS[name].safeguard}\n    {name}, {where}", flush=True)
    print(f"{len(names) - missed} of {len(names)} are caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

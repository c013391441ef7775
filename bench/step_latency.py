"""How long from one durable step to the next? A sequential SAFE function, engine and worker in two processes, SQLite
with FULL sync.

    python -m bench.step_latency [--steps 300] [--rounds 21] [--smoke]

Prints JSON. Each round measures the machine's primitives and then a run, so that drift of the machine hits both;
`ratio` is the median over the rounds of  p50(step) / (p50(round trip) + p50(append and fdatasync)).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

from websockets.asyncio.client import ClientConnection

from . import primitives
from .cluster import Cluster, cluster
from .work import sequence

SAMPLES = 150


def main() -> None:
    arguments = parse()
    print(json.dumps(asyncio.run(measure(arguments.steps, arguments.rounds)), indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it still work?")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.steps, arguments.rounds = 50, 1
    return arguments


async def measure(steps: int, rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="onward-bench-", dir=".") as home:
        async with primitives.echo_peer() as peer:
            with cluster(Path(home), "bench.work:functions") as running:
                await asyncio.to_thread(step_times, running, min(steps, 200))  # warm caches and the WAL
                found = [await one_round(running, peer, steps) for _ in range(rounds)]
    return report(found, steps)


async def one_round(running: Cluster, peer: ClientConnection, steps: int) -> dict[str, float]:
    samples = min(SAMPLES, steps)
    trip = statistics.median(await primitives.round_trips(peer, samples))
    sync = statistics.median(primitives.fdatasyncs(running.home, samples))
    step = statistics.median(await asyncio.to_thread(step_times, running, steps))
    return {"step_us": step, "round_trip_us": trip, "fdatasync_us": sync, "ratio": step / (trip + sync)}


def step_times(running: Cluster, steps: int) -> list[float]:
    """Microseconds between the starts of successive step bodies, as the worker saw them."""
    begun = running.client.run(sequence, steps)
    if len(begun) != steps or begun != sorted(begun):
        raise AssertionError(f"{len(begun)} of {steps} steps, or out of order: a fast wrong answer")
    return [(after - before) / 1000 for before, after in pairwise(begun)]


def report(found: list[dict[str, float]], steps: int) -> dict[str, object]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    medians = {name: round(statistics.median(one[name] for one in found), 2) for name in found[0]}
    return {
        "question": "microseconds from step to step, SAFE, two processes, SQLite FULL",
        "commit": commit,
        "python": platform.python_version(),
        "steps": steps,
        "rounds": len(found),
        **medians,
        "ratios": [round(one["ratio"], 2) for one in found],
    }


if __name__ == "__main__":
    main()

"""How many durable steps a second, and how much CPU for each? 1,000 runs of 10 sequential steps, 100 in flight.

    python -m bench.throughput [--runs 1000] [--rounds 7] [--smoke]

The load: one client sends one event for each run, in requests of 100 events, the next as soon as the one before is
answered; each event starts one run. The worker takes at most 100 runs at a time (`--concurrency 100`, the default), so
that 100 are in flight while there are as many; `in flight` is what it really had, on average. The clock starts before
the first request and stops when the client has been told of the end of the run that was created last, or at the
engine's own moment of the last end, whichever is later. After it has stopped every run's status, number of journaled
steps and result are checked.

CPU is that of engine, worker and client together, user and system, divided by the number of steps. `ratio` compares
with the rows a second that SQLite alone makes durable in transactions of 100 rows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from onward import Client
from onward.calls import RunRecord

from . import report
from .calls import newest_over, outputs
from .cluster import PATIENCE
from .lab import Lab, Primitives, lab, medians
from .processes import cpu_s
from .report import Answer, Figure
from .work import JOBS, STEPS, STREAMING, TENS, Job, mixed_often

BATCH = 100
BARS = {"SAFE": 12_000, "PIPELINED": 50_000}
CPU_MS_MAX = 0.15


@dataclass(frozen=True)
class Round:
    steps_per_s: float
    in_flight: float
    cpu_ms: dict[str, float]
    ratio: float


@dataclass(frozen=True)
class Load:
    """Runs in the order of their numbers; moments on the wall clock, which client and engine share."""

    ids: list[str]
    begun_at: float
    told_at: float


async def measure(runs: int, rounds: int) -> Answer:
    found: dict[str, list[Round]] = {preset: [] for preset in STREAMING}
    machine: list[Primitives] = []
    async with lab() as bench, bench.cluster.async_client() as client:
        for preset in STREAMING:
            await one_load(client, preset, min(runs, 300))  # warm caches and the log
        for _ in range(rounds):
            machine.append(await bench.primitives())
            for preset, results in found.items():
                results.append(await one_round(bench, client, preset, runs, machine[-1]))
    return answer(found, machine, runs)


async def one_round(bench: Lab, client: Client, preset: str, runs: int, machine: Primitives) -> Round:
    before = used_s(bench)
    load = await one_load(client, preset, runs)
    cpu = {name: used - before[name] for name, used in used_s(bench).items()}
    done = await verified(client, preset, load.ids)
    steps = runs * STEPS
    per_s = steps / taken_s(load, done)
    per_step = {name: used / steps * 1000 for name, used in cpu.items()}
    return Round(per_s, in_flight(done), per_step, per_s / machine.rows_per_s)


def used_s(bench: Lab) -> dict[str, float]:
    """Seconds of CPU so far. The client is this process, without those that it has started."""
    return {
        "engine": cpu_s(bench.cluster.engine.pid),
        "worker": cpu_s(bench.worker.pid),
        "client": time.process_time(),
    }


async def one_load(client: Client, preset: str, runs: int) -> Load:
    """Send the events and wait for the end of the last run."""
    events = [JOBS[preset](Job(number)) for number in range(runs)]
    begun_at = time.time()
    ids: list[str] = []
    for first in range(0, runs, BATCH):
        ids += [sent.runs[0].id for sent in await client.send(*events[first : first + BATCH])]
    await client.wait(ids[-1], timeout=PATIENCE)
    return Load(ids, begun_at, time.time())


async def verified(client: Client, preset: str, ids: Sequence[str]) -> list[RunRecord]:
    """Return the runs once they are over and have been checked."""
    runs = await newest_over(client, TENS[preset], len(ids))
    report.check({run.id for run in runs} == set(ids), "other runs")
    for run in runs:
        report.check(run.status == "completed" and run.steps == STEPS, f"{run}")
    report.check(await outputs(client, ids) == expected(len(ids)), f"results of {preset}")
    return runs


def taken_s(load: Load, runs: Sequence[RunRecord]) -> float:
    """Seconds from the first request to the last end, by whichever clock says that it was later."""
    return max(load.told_at, *ends_s(runs)) - load.begun_at


def starts_s(runs: Sequence[RunRecord]) -> list[float]:
    return [(run.started_at_ms or 0) / 1000 for run in runs]


def ends_s(runs: Sequence[RunRecord]) -> list[float]:
    return [(run.ended_at_ms or 0) / 1000 for run in runs]


def in_flight(runs: Sequence[RunRecord]) -> float:
    """How many runs a worker had at a time, on average."""
    starts, ends = starts_s(runs), ends_s(runs)
    return (sum(ends) - sum(starts)) / max(max(ends) - min(starts), 0.001)


def expected(runs: int) -> list[int]:
    return [mixed_often(number, STEPS) for number in range(runs)]


def answer(found: dict[str, list[Round]], machine: list[Primitives], runs: int) -> Answer:
    figures = tuple(figure for preset, rounds in found.items() for figure in figures_of(preset, rounds))
    return Answer(
        figures=figures,
        primitives=medians(machine),
        checksum=report.checksum(expected(runs)),
        details={preset: [round(one.steps_per_s) for one in rounds] for preset, rounds in found.items()},
    )


def figures_of(preset: str, rounds: list[Round]) -> list[Figure]:
    per_s = statistics.median(one.steps_per_s for one in rounds)
    ratio = statistics.median(one.ratio for one in rounds)
    cpu = {part: statistics.median(one.cpu_ms[part] for one in rounds) for part in rounds[0].cpu_ms}
    total = statistics.median(sum(one.cpu_ms.values()) for one in rounds)
    return [
        Figure(preset, per_s, "steps/s", at_least=BARS.get(preset), ratio=ratio, to="SQLite rows/s in groups"),
        Figure(f"{preset}, in flight", statistics.median(one.in_flight for one in rounds), "runs"),
        Figure(f"{preset}, CPU in all", total, "ms/step", at_most=CPU_MS_MAX),
        *(Figure(f"{preset}, CPU of the {part}", used, "ms/step") for part, used in cpu.items()),
    ]


if __name__ == "__main__":
    report.main("throughput", __doc__ or "", measure, runs=(1_000, 40), rounds=(7, 1))

"""Many seeds on all cores: how a range of simulations is played, counted, and its failures named."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from tests.support.model import live

CHUNK = 25
"""Seeds that one process plays at a time; then it collects its garbage."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a seed."""

    seed: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        """Say it, with the command that repeats it."""
        return "\n  ".join([f"seed {self.seed}:", *self.problems, f"again: {again(self.seed)}"])


@dataclass(frozen=True, slots=True)
class Chunk:
    """What became of some seeds."""

    seeds: int
    failures: tuple[Failure, ...]
    marks: Counter[str]


@dataclass(slots=True)
class Campaign:
    """What became of all of them. `marks` are the situations that they met."""

    seeds: int
    failures: list[Failure]
    marks: Counter[str]
    took_s: float

    @property
    def rate(self) -> float:
        """Seeds a second."""
        return self.seeds / self.took_s if self.took_s else 0.0


def again(seed: int) -> str:
    """Return the command that plays one seed again."""
    return f"python -m tests.sim --seed {seed}"


def play(seed: int) -> tuple[tuple[str, ...], Counter[str]]:
    """Play one seed; return what went wrong, and what it met. Whatever is raised went wrong too."""
    try:
        result = live(seed)
    except Exception as error:  # noqa: BLE001 - a deadlock, an assertion, a group of errors: all are violations
        return (f"{type(error).__name__}: {error}".split("; unfinished tasks")[0],), Counter()
    return tuple(result.violations), result.marks


def campaign(
    seeds: range, jobs: int, *, failures_max: int = 5, tell: Callable[[int], object] = lambda _done: None
) -> Campaign:
    """Play all seeds, or until so many have failed."""
    began_s = time.perf_counter()
    found = Campaign(0, [], Counter(), 0)
    for chunk in _chunks(seeds, jobs):
        found.seeds += chunk.seeds
        found.failures += chunk.failures
        found.marks += chunk.marks
        tell(found.seeds)
        if len(found.failures) >= failures_max:
            break
    found.failures.sort(key=lambda failure: failure.seed)
    found.took_s = time.perf_counter() - began_s
    return found


def be_quiet() -> None:
    """Say nothing: writing down what engines and workers say takes as long as the rest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    logging.disable()
    warnings.simplefilter("ignore")
    gc.freeze()


def _chunks(seeds: range, jobs: int) -> Iterator[Chunk]:
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if jobs <= 1:
        yield from map(_play_chunk, chunks)
        return
    with multiprocessing.get_context("fork").Pool(jobs, be_quiet) as pool:
        yield from pool.imap_unordered(_play_chunk, chunks)


def _play_chunk(seeds: range) -> Chunk:
    marks: Counter[str] = Counter()
    failures: list[Failure] = []
    gc.disable()
    for seed in seeds:
        problems, met = play(seed)
        marks += met
        if problems:
            failures.append(Failure(seed, problems))
    gc.enable()
    gc.collect()
    return Chunk(len(seeds), tuple(failures), marks)

"""Frames of runs that this process wrote last: one statement, and nothing is read before.

The operations are done over the rows as they were written. The statement writes only what is still so: another replica
that has touched a run meanwhile has raised the version of its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from onward_protocol.limits import Limits, Times

from ..port import Applied, ApplyCheckpoint, Committed, Notices, Op, StoreError
from ..work.batch import apply_batch
from ..work.checkpoint import PLAIN
from .kept import KeptRuns
from .needs import Need
from .run_rows import Line
from .statements import statements
from .tables import PostgresTables
from .transaction import Known

STATEMENT = statements("write")["progress"]
_PAIRS_MAX = 20_000
"""Runs times frames beyond the first of a run: the statement compares each with each."""


class Progress(NamedTuple):
    """What to write, and what to answer once it is written. `runs` are the ids by ord."""

    tables: PostgresTables
    parameters: list[list[Any]]
    outcomes: tuple[object, ...]
    runs: dict[int, str]


def is_plain(ops: Sequence[Op[object]]) -> bool:
    """Tell whether these are frames that concern nobody but their workers."""
    return bool(ops) and all(
        isinstance(op, ApplyCheckpoint) and op.outcome is None and op.entries and _is_plain(op) for op in ops
    )


def progress(ops: Sequence[Op[object]], kept: KeptRuns, known: Known, limits: Limits, times: Times) -> Progress | None:
    """Do plain frames over the runs that are kept; None if that is not all there is to it."""
    tables = PostgresTables(known.statics, known.apps, known.claims, [])
    for op in ops:
        assert isinstance(op, ApplyCheckpoint)
        found = kept.get(op.run)
        if found is None:
            return None
        tables.load_run(found.run, found.version, found.tail)
    tables.covered[Need("next", ())] = 1
    try:
        committed = apply_batch(tables, ops, limits, times)
    except StoreError:
        return None
    if not _is_applied(committed) or not _is_progress(tables):
        return None
    parameters = _parameters(tables)
    return None if parameters is None else Progress(tables, parameters, committed.outcomes, _ids(tables))


def _is_plain(op: ApplyCheckpoint) -> bool:
    return all(isinstance(entry, PLAIN) for entry in op.entries)


def _is_applied(committed: Committed) -> bool:
    is_applied = all(isinstance(one, Applied) and one.verdict == "applied" for one in committed.outcomes)
    return is_applied and committed.notices == Notices()


def _is_progress(tables: PostgresTables) -> bool:
    """Tell whether nothing but the counters of frames has changed."""
    return all(
        found is not None
        and run is not None
        and (run.status, run.epoch, run.pos, run.generation) == (found.status, found.epoch, found.pos, found.generation)
        and run.holder == found.holder
        for _, found, run in tables.runs.changes()
    )


def _ids(tables: PostgresTables) -> dict[int, str]:
    return {ord: run.id for ord, _, run in tables.runs.changes() if run is not None}


def _parameters(tables: PostgresTables) -> list[list[Any]] | None:
    rows: list[tuple[Any, ...]] = []
    others: list[Line] = []
    for ord, lines in sorted(tables.new_lines.items()):
        run, first = tables.run_at(ord), lines[0]
        counts = (run.seq, run.seen, run.steps, run.state_bytes, run.strikes)
        rows.append((ord, tables.versions[ord], lines[-1].n, *counts, *first[1:]))
        others += lines[1:]
    if len(rows) * len(others) > _PAIRS_MAX:
        return None
    return [*_columns(rows, 12), *_columns(others, 5)]


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]

"""What has happened since this engine started, in plain numbers, read off each commit.

So only what is durable counts, and once; and whoever does the work knows nothing of it. `metrics` makes a page of the
numbers when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .commit import Committer
from .store.port import (
    Applied,
    ApplyCheckpoint,
    Claim,
    Committed,
    Enter,
    Entered,
    Op,
    Purge,
    Rejected,
    Resume,
    Resumed,
    TakeOver,
)

COMMIT_BUCKETS_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
"""A quick disk, a slow one, one that stalls, and a server that is away."""


class Counts:
    """Nothing in here ever falls. `happened` is by (what, function), see `Happened`."""

    def __init__(self, committer: Committer) -> None:
        self.checkpoints = {"applied": 0, "duplicate": 0, "stale": 0, "gap": 0, "rejected": 0}
        self.happened: Counter[tuple[str, str]] = Counter()
        self.assignments: Counter[str] = Counter()  # by function
        self.fences = 0
        self.replica_takeovers = 0
        self.deleted_runs = 0
        self.deleted_events = 0
        self.commits = [0] * (len(COMMIT_BUCKETS_S) + 1)  # by bucket of their duration; the last one is for all longer
        self.commit_s = 0.0
        self._counting: dict[type[Op[Any]], Callable[[Any], None]] = {
            ApplyCheckpoint: self._applied,
            Claim: self._claimed,
            Enter: self._entered,
            Resume: self._resumed,
            TakeOver: self._taken_over,
            Purge: self._purged,
        }
        committer.observe(self._committed)

    def _committed(self, ops: Sequence[Op[object]], committed: Committed, seconds: float) -> None:
        self.commits[bisect_left(COMMIT_BUCKETS_S, seconds)] += 1
        self.commit_s += seconds
        for op, outcome in zip(ops, committed.outcomes, strict=True):
            count = self._counting.get(type(op))
            if count is not None:
                count(outcome)
        notices = committed.notices
        self.fences += len(notices.fenced)
        for one in notices.happened:
            self.happened[one.what, one.function] += 1

    def _applied(self, outcome: Applied | Rejected) -> None:
        verdict = "rejected" if isinstance(outcome, Rejected) else outcome.verdict
        self.checkpoints[verdict] += 1
        self.fences += verdict == "stale"

    def _claimed(self, outcome: Any) -> None:
        if not isinstance(outcome, Rejected):
            for assignment in outcome:
                self.assignments[assignment.run.function] += 1

    def _entered(self, outcome: Any) -> None:
        if isinstance(outcome, Entered):
            self._resumed(outcome.resumed)

    def _resumed(self, outcome: tuple[Resumed, ...] | Rejected) -> None:
        if not isinstance(outcome, Rejected):
            self.fences += sum(not resumed.owned for resumed in outcome)

    def _taken_over(self, outcome: Any) -> None:
        self.replica_takeovers += not isinstance(outcome, Rejected) and outcome.is_dropped

    def _purged(self, outcome: Any) -> None:
        if not isinstance(outcome, Rejected):
            self.deleted_runs += outcome.runs
            self.deleted_events += outcome.events

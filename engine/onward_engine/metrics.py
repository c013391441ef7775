"""The page that Prometheus reads: what `counts` has counted, and what the engine's parts are like at this moment.

Labels are names of functions and words of ours, so there are never more lines than functions allow. Imported with the
first request: an engine that nobody watches does without the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from .commit import Committer
from .connections import Connections
from .counts import COMMIT_BUCKETS_S, Counts
from .doubts import Doubts
from .guards import Guards

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format that everything reads that reads metrics."""

_HAPPENED = {
    "started": ("onward_runs_started", "Runs that were started."),
    "orphaned": ("onward_runs_orphaned", "Runs whose worker's connection was lost while they executed."),
    "taken_over": ("onward_takeovers", "Orphaned runs that a claim gave to a worker: the same one or another."),
    "struck": ("onward_strikes", "Takeovers of a run that had made no progress since it was assigned."),
    "charged": ("onward_worker_lost", "Losses of workers that were charged to a run: a step of it fails, or the run."),
}
_ENDS = ("completed", "failed", "cancelled", "skipped")


class Page(Collector):
    """All metrics of one engine."""

    def __init__(
        self, counts: Counts, committer: Committer, connections: Connections, guards: Guards, doubts: Doubts
    ) -> None:
        self._counts = counts
        self._committer = committer
        self._connections = connections
        self._guards = guards
        self._doubts = doubts

    def response(self) -> Response:
        """Answer with everything as it is now."""
        registry = CollectorRegistry()  # the process's own one would bring what other libraries count
        registry.register(self)
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE})

    def describe(self) -> Iterable[Metric]:
        """Nothing: its names are its own."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return everything as it is now."""
        yield from self._runs()
        yield from self._commits()
        yield from self._workers()
        yield from self._troubles()

    def _runs(self) -> Iterator[Metric]:
        happened = self._counts.happened
        for what, (name, help_text) in _HAPPENED.items():
            yield _by_function(name, help_text, {one: count for (kind, one), count in happened.items() if kind == what})
        ended = CounterMetricFamily("onward_runs_ended", "Runs that are over, by how.", labels=("function", "status"))
        for (what, function), count in happened.items():
            if what in _ENDS:
                ended.add_metric((function, what), count)
        yield ended
        yield _by_function("onward_assignments", "Runs that were given to workers.", self._counts.assignments)

    def _commits(self) -> Iterator[Metric]:
        counts = self._counts
        yield _labelled("onward_checkpoints", "Checkpoint frames, by verdict.", "verdict", counts.checkpoints)
        bounds = [*map(str, COMMIT_BUCKETS_S), "+Inf"]
        yield HistogramMetricFamily(
            "onward_commit_duration_seconds",
            "How long the store took for a transaction with everything that waited.",
            buckets=list(zip(bounds, accumulate(counts.commits), strict=True)),
            sum_value=counts.commit_s,
        )
        yield _gauge("onward_commit_queue_operations", "Operations that wait for the store.", self._committer.queued)
        yield _gauge("onward_commit_queue_bytes", "Payload that waits for the store.", self._committer.queued_bytes)

    def _workers(self) -> Iterator[Metric]:
        workers = list(self._connections)
        slots = sum(hello.slots for worker in workers if (hello := worker.session.hello))
        free = sum(max(0, worker.free) for worker in workers)
        yield _gauge("onward_workers", "Workers that are connected to this engine.", len(workers))
        yield _gauge("onward_slots", "Runs that they can execute at the same time.", slots)
        yield _gauge("onward_slots_free", "Slots that nothing was assigned to.", free)
        yield _gauge("onward_guards", "Guards that speak for a worker now.", self._guards.open)
        yield _counter("onward_guarded_seconds", "Time that guards were connected.", self._guards.guarded_ms / 1000)
        yield _labelled(
            "onward_guards_ended",
            "Guards that are gone: the worker went on (recovered), stood still for too long (given_up), or died.",
            "worker",
            self._guards.ended,
        )

    def _troubles(self) -> Iterator[Metric]:
        counts = self._counts
        yield _counter(
            "onward_fences", "Times that a worker was told to stop a run that it has no more.", counts.fences
        )
        yield _counter("onward_replica_takeovers", "Dead engines that this one took over.", counts.replica_takeovers)
        yield _by_function(
            "onward_conditions_unclear", "Conditions that could not be evaluated on an event.", self._doubts.counts
        )
        deleted = {"run": counts.deleted_runs, "event": counts.deleted_events}
        yield _labelled("onward_deleted", "What was deleted because it was over long enough.", "kind", deleted)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_text, value=value)


def _by_function(name: str, help_text: str, values: Mapping[str, int]) -> Metric:
    return _labelled(name, help_text, "function", values)


def _labelled(name: str, help_text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family

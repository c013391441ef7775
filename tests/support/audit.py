"""What is left when everything is over: nothing that was taken is kept, and everybody is told the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from onward.client import Client
from onward_engine.connection import Connection
from onward_engine.model import Run, Status

from tests.support.cluster import Cluster, WorkerProcess
from tests.support.history import Stored, stored
from tests.support.witness import Disk


def what_is_stored(disk: Disk) -> dict[str, Stored]:
    """Return every run with its journal."""
    full = [disk.tables.full(run) for run in disk.runs()]
    return {run.id: stored(run, disk.tables.journal(run)) for run in full}


def leaks(cluster: Cluster) -> list[str]:
    """Return what was taken and not given back, at both ends. There has to be an engine."""
    engines = [process.engine for process in cluster.engines if process.engine is not None]
    assert engines
    connections = {connection.instance: connection for engine in engines for connection in engine.connections}
    problems: list[str] = []
    for process in cluster.workers:
        assert process.worker is not None
        problems += _leaks_of_worker(process, connections.pop(process.worker.instance, None))
    problems += [f"leak: a connection of {instance}" for instance in connections]
    return [*problems, *(leak for run in cluster.disk.runs() for leak in _leaks_of_run(cluster.disk, run))]


async def differing_answers(disk: Disk, client: Client) -> list[str]:
    """Return what clients are told otherwise than it is stored."""
    problems: list[str] = []
    for run in map(disk.tables.full, disk.runs()):
        record = await client.get_run(run.id)
        if record.status != run.status:
            problems.append(f"answers: {run.id} is {run.status}, clients are told {record.status}")
        elif run.status is Status.COMPLETED and await client.output(run.id) != run.output:
            problems.append(f"answers: clients get another result of {run.id}")
    return problems


def returned(stored: Mapping[str, Stored]) -> list[tuple[str, list[str]]]:
    """Return the results of all runs, without what differs from one execution to the next."""
    results = [(one.run.function, msgspec.msgpack.decode(one.run.output, type=list[str])) for one in stored.values()]
    return sorted((function, [_shown(value) for value in values]) for function, values in results)


def _shown(value: str) -> str:
    return "go" if value.startswith("go:") else value.partition("#")[0]


def _leaks_of_worker(process: WorkerProcess, connection: Connection | None) -> Iterator[str]:
    worker = process.worker
    assert worker is not None
    assert worker._daemon is not None
    runner = worker._daemon._runner
    if runner.held() or runner.free != runner._slots:
        yield f"leak: {process.name} still holds {runner.held()}, {runner.free} slots are free"
    if connection is None:
        yield f"leak: {process.name} is not connected"
    elif connection.free != runner._slots or connection.session.mirror.holdings or connection.ready:
        holdings = list(connection.session.mirror.holdings)
        yield f"leak: the engine sees {connection.free} slots of {process.name}, held {holdings}"


def _leaks_of_run(disk: Disk, run: Run) -> Iterator[str]:
    if disk.tables.queue_row(run.ord) or disk.tables.waits_of(run.ord):
        yield f"leak: {run.id} is over, but has a queue row or waits"
    for flow in run.flow:
        if disk.tables.place(flow.key, run.ord) is not None or disk.tables.places_taken(flow.key):
            yield f"leak: {run.id} is over, but there are places of {flow.key}"

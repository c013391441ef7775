"""What processes write down while they are killed: step bodies their executions, workers what they were told is
durable.

Each process has a file of its own to which it only appends, a line at a time. A line of the ledger is on disk before
the body goes on; a process that is killed loses no line of either.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from tests.support.ledger import Execution, Ledger, now_ms
from tests.support.overheard import Overheard

T = TypeVar("T")

LEDGER, ACKS, LINES, FAILURES = "ledger", "acks", "lines", "failures"


class Began(Struct, tag="began"):
    """A body began."""

    at_ms: int
    run: str
    step: str
    epoch: int
    worker: str
    builds_on: tuple[str, ...]
    nap_ms: int
    is_barrier: bool
    number: int


class Ended(Struct, tag="ended"):
    """A body ended."""

    at_ms: int
    number: int
    is_raised: bool


class Acked(Struct):
    """A worker was told that a result is durable."""

    at_ms: int
    worker: str
    run: str
    key: str
    output: bytes


class Connected(Struct, tag="connected"):
    """An engine has taken a worker in, with all that it holds."""

    at_ms: int
    worker: str


class Broken(Struct, tag="broken"):
    """The connection of a worker is gone."""

    at_ms: int
    worker: str


_lines = msgspec.json.Decoder(Began | Ended)
_acks = msgspec.json.Decoder(Acked)
_connections = msgspec.json.Decoder(Connected | Broken)


class Notebook:
    """One file of one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: Struct, *, is_synced: bool) -> None:
        """Append a line."""
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        if is_synced:
            os.fdatasync(self._file)


class NotedLedger(Ledger):
    """The ledger of one worker process."""

    def __init__(self, home: Path, worker: str) -> None:
        super().__init__(_accept)
        self._notebook = Notebook(home / LEDGER / worker)
        self._failures = home / FAILURES
        self._failures.mkdir(exist_ok=True)
        self._numbers = itertools.count(int(worker.rpartition("-")[2]) * 1_000_000)

    def begin(self, execution: Execution) -> None:
        """Note that a body begins."""
        execution.number, execution.began_at_ms = next(self._numbers), now_ms()
        self._notebook.write(
            Began(
                execution.began_at_ms,
                execution.run,
                execution.step,
                execution.epoch,
                execution.worker,
                execution.builds_on,
                execution.nap_ms,
                execution.is_barrier,
                execution.number,
            ),
            is_synced=True,
        )

    def end(self, execution: Execution, *, failures: int) -> bool:
        """Note that a body ends; it is to fail `failures` times, counted over all processes."""
        is_raised = failures > 0 and self._failed(execution) < failures
        self._notebook.write(Ended(now_ms(), execution.number, is_raised), is_synced=True)
        return is_raised

    def _failed(self, execution: Execution) -> int:
        """Count a failure, and return how many there were before."""
        count = os.open(self._failures / f"{execution.run}-{execution.step}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(count, b".")
            return os.fstat(count).st_size - 1
        finally:
            os.close(count)


class NotedAcks(Overheard):
    """What one worker process was told."""

    def __init__(self, home: Path, worker: str) -> None:
        super().__init__()
        self._worker = worker
        self._acks = Notebook(home / ACKS / worker)
        self._lines = Notebook(home / LINES / worker)

    def durable(self, run: str, key: str, output: bytes) -> None:
        """Note a result that is durable."""
        self._acks.write(Acked(now_ms(), self._worker, run, key, output), is_synced=False)

    def connected(self) -> None:
        """Note a connection that serves."""
        self._lines.write(Connected(now_ms(), self._worker), is_synced=False)

    def broken(self) -> None:
        """Note the end of a connection."""
        self._lines.write(Broken(now_ms(), self._worker), is_synced=False)


def read_ledger(home: Path) -> Ledger:
    """Put together what all processes have written, in the order of its beginnings."""
    lines = list(_read(home / LEDGER, _lines))
    ledger = Ledger(_accept)
    for began in sorted((line for line in lines if isinstance(line, Began)), key=lambda line: line.at_ms):
        ledger.add(_execution(began))
    for ended in (line for line in lines if isinstance(line, Ended)):
        execution = ledger.by_number[ended.number]
        execution.ended_at_ms, execution.is_raised = ended.at_ms, ended.is_raised
    return ledger


def read_acks(home: Path) -> list[Acked]:
    """Return what all workers were told."""
    return list(_read(home / ACKS, _acks))


def read_connections(home: Path) -> list[Connected | Broken]:
    """Return when which workers were connected, each one's in their order."""
    return list(_read(home / LINES, _connections))


def _read(folder: Path, decoder: msgspec.json.Decoder[T]) -> Iterator[T]:
    for path in sorted(folder.glob("*")):
        for line in path.read_bytes().splitlines():
            yield decoder.decode(line)


def _execution(began: Began) -> Execution:
    return Execution(
        began.run,
        began.step,
        began.epoch,
        began.worker,
        began.builds_on,
        began.nap_ms,
        began.is_barrier,
        number=began.number,
        began_at_ms=began.at_ms,
    )


def _accept(_: Execution) -> None:
    """Judge nothing here: it is judged when everything is over."""

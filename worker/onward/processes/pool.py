"""The processes for bodies of steps of this program: as many as it has CPUs, started when they are first needed."""

from __future__ import annotations

import atexit
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from onward.cgroup import cpus
from onward.processes.process import StepProcess

IDLE_S: Final = 60.0
"""After so long without work a process ends: it has all of the program in memory."""


class Pool:
    """Processes that have nothing to do, and the threads that each speak to one of the others."""

    def __init__(self, processes: int, idle_s: float = IDLE_S) -> None:
        self.threads: ThreadPoolExecutor = ThreadPoolExecutor(processes, thread_name_prefix="step-process")
        """Where `RemoteCall.carry` is called; a call that is one too many waits here."""
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._idle: list[StepProcess] = []
        self._sweep: threading.Timer | None = None

    def take(self) -> StepProcess:
        """Return a process that has nothing to do."""
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return StepProcess()
            if process.is_alive:
                return process
            process.end()

    def give_back(self, process: StepProcess) -> None:
        """It has nothing to do any more."""
        process.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(process)
            self._sweep_later()

    def close(self) -> None:
        """End what has nothing to do."""
        with self._lock:
            leaving, self._idle = self._idle, []
            if self._sweep is not None:
                self._sweep.cancel()
        for process in leaving:
            process.end()

    def _sweep_later(self) -> None:
        if self._sweep is None and self._idle:
            self._sweep = threading.Timer(self._idle_s, self._end_idle)
            self._sweep.daemon = True
            self._sweep.start()

    def _end_idle(self) -> None:
        last = time.monotonic() - self._idle_s
        with self._lock:
            leaving = [process for process in self._idle if process.idle_since <= last]
            self._idle = [process for process in self._idle if process.idle_since > last]
            self._sweep = None
            self._sweep_later()
        for process in leaving:
            process.end()


_lock: Final = threading.Lock()
_pools: Final[list[Pool]] = []


def pool() -> Pool:
    """Return the pool of this program, for all workers in it: the CPUs are the same."""
    with _lock:
        if not _pools:
            _pools.append(Pool(max(1, math.ceil(cpus()))))
            atexit.register(_pools[0].close)
        return _pools[0]

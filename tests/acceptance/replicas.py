"""Several engines on one database, with as many workers, behind one address."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from subprocess import Popen
from types import TracebackType
from typing import Self

from onward import NotConnected, SyncClient
from onward.calls import WorkerRecord

from tests.acceptance.house import House
from tests.support.processes import free_port, kill, wait_for
from tests.support.proxy import InBackground, Proxy

ENGINES = 3


@dataclass
class Replicas(House):
    """A house with several engines and a worker for each. What is asked goes to one after the other, and so do workers.

    Nobody can move the time: each engine has the database's.
    """

    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(ENGINES)])
    balancer: InBackground | None = None
    _turns: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(ENGINES)))

    def open_up(self) -> None:
        """Start everybody."""
        self.start_engine(0)  # it makes the tables
        children = [self._begin_engine(number) for number in range(1, ENGINES)]
        for number, child in enumerate(children, 1):
            self._wait_for_engine(number, child)
        for name in ("worker", "worker-1", "worker-2"):
            self.processes[name] = self.command("run", self.app, log=name)
        self.until(lambda: len(self.workers()) == ENGINES, "all workers are connected")

    @property
    def client(self) -> SyncClient:
        """The client of the next engine."""
        return self._client_of(next(self._turns))

    def start_engine(self, number: int = 0) -> None:
        """Start one of the engines, on its port."""
        self._wait_for_engine(number, self._begin_engine(number))

    def _begin_engine(self, number: int) -> Popen[bytes]:
        token = str(self.home / "admin.token")
        arguments = ["--port", str(self.ports[number]), "--db", self.database, "--admin-token-file", token]
        return self.command("engine", "start", *arguments, log="engine")

    def _wait_for_engine(self, number: int, child: Popen[bytes]) -> None:
        wait_for(lambda: child.poll() is not None or self._is_there(number), "the engine answers")
        assert child.poll() is None, self.log("engine")
        self.processes[f"engine-{number}"] = child

    def start_worker(self, name: str = "worker", app: str = "", *arguments: str) -> None:
        """Start a worker, and wait until one of the engines knows it."""
        known = {worker.instance for worker in self.workers()}
        self.processes[name] = self.command("run", app or self.app, *arguments, log=name)
        self.until(lambda: any(one.instance not in known for one in self.workers()), "the worker is connected")

    def restart_engine(self) -> None:
        """Kill one of the engines and start it again, while the others go on."""
        number = next(self._turns)
        kill(self.processes.pop(f"engine-{number}"))
        self.start_engine(number)

    def workers(self) -> list[WorkerRecord]:
        """Return the workers of all engines; each tells only of its own."""
        return [worker for number in range(ENGINES) for worker in self._client_of(number).list_workers()]

    def advance(self, ms: int) -> None:
        """See the class."""
        raise AssertionError("engines that share a database go by its time")

    def _is_there(self, number: int) -> bool:
        try:
            self._client_of(number).list_runs(limit=1)
        except (NotConnected, FileNotFoundError):
            return False
        return True

    def _client_of(self, number: int) -> SyncClient:
        name = f"engine-{number}"
        if name not in self.clients:
            self.clients[name] = SyncClient(f"http://127.0.0.1:{self.ports[number]}", token=self.token)
        return self.clients[name]

    def __enter__(self) -> Self:
        """Open the address."""
        super().__enter__()
        self.balancer = InBackground(Proxy(*self.ports, port=self.port))
        self.balancer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everybody, then the address."""
        super().__exit__(kind, error, trace)
        if self.balancer is not None:
            self.balancer.__exit__(kind, error, trace)

"""An engine and a worker that the tests of a file share, as processes; and what a user does and sees from outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from subprocess import Popen
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from onward import Event, Function
from onward.calls import RunStatus, StepRecord
from onward.sync_client import SyncRunHandle

from tests.support.processes import System, child_of, is_alive, kill, ledger_of, wait_for

I = TypeVar("I")  # noqa: E741 - input, as in Function[I, O]
O = TypeVar("O")  # noqa: E741 - output
PATIENCE_S = 40
"""Nothing here takes a second; a machine that is busy with other things may."""


@dataclass
class House(System):
    """An engine with its worker. `app` is what workers load, `database` the address of one that is not a file."""

    app: str = ""
    database: str = ""
    passed_ms: int = 0
    processes: dict[str, Popen[bytes]] = field(default_factory=dict[str, Popen[bytes]])

    def open_up(self) -> None:
        """Start the engine, then a worker."""
        self.start_engine()
        self.start_worker()

    def start_engine(self) -> None:
        """Start the engine on the same port and the same data."""
        token = str(self.home / "admin.token")
        chosen = ["--db", self.database, "--admin-token-file", token] if self.database else []
        self.processes["engine"] = self.engine("--test-clock", *chosen)

    def start_worker(self, name: str = "worker", app: str = "", *arguments: str) -> None:
        """Start a worker, and wait until the engine knows it."""
        self.processes[name] = self.worker(app or self.app, *arguments, log=name)

    def kill_worker(self, name: str = "worker") -> None:
        """End a worker and its supervisor as a power cut would, and note that it died."""
        worker = self.pid_of_worker(name)
        kill(self.processes.pop(name))
        self.until(lambda: not is_alive(worker), "the worker is gone")
        with self.home.joinpath("ledger").open("a") as ledger:
            ledger.write(f"died {worker}\n")

    def replace_worker(self) -> None:
        """Kill the worker and start another one, which replays what that one had."""
        self.kill_worker()
        self.start_worker()

    def restart_engine(self) -> None:
        """Kill the engine and start it again.

        On a shared database the clock must not have been moved before: to the next engine the killed one would have
        been heard of in the future, and live.
        """
        assert not (self.database and self.passed_ms), "move the clock after the last restart"
        kill(self.processes.pop("engine"))
        self.start_engine()
        if self.passed_ms:  # a test engine begins with the time of the system
            self._wait_to_advance(self.passed_ms)

    @contextmanager
    def no_worker(self) -> Generator[None]:
        """Have no worker inside the block."""
        self.kill_worker()
        self.until(lambda: not self.client.list_workers(), "the engine has noticed")
        try:
            yield
        finally:
            self.start_worker()

    def pid_of_worker(self, name: str = "worker") -> int:
        """Return the process that runs the code, below its supervisor."""
        return child_of(self.processes[name])

    # -- runs

    def run(self, function: Function[I, O], data: I) -> O:
        """Run a function and return its result."""
        return self.client.run(function, data, timeout=PATIENCE_S)

    def start(self, function: Function[I, O], data: I, *, key: str = "") -> SyncRunHandle[O]:
        """Start a run."""
        return self.client.start(function, data, key=key)

    def send(self, *events: Event[Any]) -> list[SyncRunHandle[Any]]:
        """Send events and return the runs that they started."""
        return [run for sent in self.client.send(*events) for run in sent.runs]

    def result(self, run: SyncRunHandle[O]) -> O:
        """Return a run's result."""
        return run.result(timeout=PATIENCE_S)

    def failure(self, run: SyncRunHandle[Any]) -> Exception:
        """Return the error that a run ends with."""
        try:
            value = run.result(timeout=PATIENCE_S)
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            return error
        raise AssertionError(f"the run did not fail but returned {value!r}")

    def status(self, run: SyncRunHandle[Any]) -> RunStatus:
        """Return how a run ends."""
        return self.client.wait(run.id, timeout=PATIENCE_S).status

    def wait_status(self, run: SyncRunHandle[Any], *wanted: RunStatus) -> None:
        """Wait until a run has one of these states."""
        wait_for(lambda: run.status() in wanted, f"{run.id} is {wanted}", PATIENCE_S)

    def is_held(self, run: SyncRunHandle[Any]) -> bool:
        """Tell whether a worker has the run."""
        return run.status() == "assigned"

    def steps(self, run: SyncRunHandle[Any], kind: str = "") -> Sequence[StepRecord]:
        """Return a run's history, or what is of one kind there."""
        return [line for line in run.steps() if kind in ("", line.kind)]

    def runs_of(self, function: Function[Any, O], name: str) -> list[SyncRunHandle[O]]:
        """Return the runs of a function in whose input the name stands."""
        runs = self.client.list_runs(function=function, limit=200).runs
        return [SyncRunHandle(self.client, run.id, function) for run in runs if name in str(self.view(run.id)["input"])]

    def run_of(self, run: str, function: Function[Any, O]) -> O:
        """Return the result of a run of a function by its id."""
        return SyncRunHandle(self.client, run, function).result(timeout=PATIENCE_S)

    def runs_by(self, event: str) -> list[SyncRunHandle[Any]]:
        """Return the runs that an event with this id has started."""
        runs = self.ask("GET", f"/v1/events/{quote(event)}")["runs"]
        return [SyncRunHandle(self.client, run["id"]) for run in runs]

    def view(self, run: str) -> dict[str, Any]:
        """Return everything that the engine shows of a run."""
        view: dict[str, Any] = self.ask("GET", f"/v1/runs/{run}")
        return view

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the engine as any program would, without the SDK; return its JSON. Raises `HTTPError` if it refuses."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = Request(self.url + path, data, headers, method=method)
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def advance(self, ms: int) -> None:
        """Let so much time pass on the engine's clock; everything that became due has been fired then.

        An engine on a shared database first gives up the one that was killed before it.
        """
        self.passed_ms += ms
        self._wait_to_advance(ms)

    def now_ms(self) -> int:
        """Return the time of day on the engine's clock."""
        now: int = self.ask("POST", "/v1/test/clock", {"advance_ms": 0})["now_ms"]
        return now

    def _wait_to_advance(self, ms: int) -> None:
        self.until(lambda: self._has_advanced(ms), "the clock has moved")

    def _has_advanced(self, ms: int) -> bool:
        try:
            self.ask("POST", "/v1/test/clock", {"advance_ms": ms})
        except HTTPError as refused:
            if refused.code != HTTPStatus.CONFLICT:
                raise
            return False
        return True

    def worker_refused(self, app: str) -> str:
        """Start a worker whose app nobody should accept; return what it says before it ends by itself."""
        child = self.command("run", f"{app}", log="refused")
        self.until(lambda: child.poll() is not None, "the worker has ended")
        assert child.returncode != 0
        return self.log("refused")

    # -- what bodies did

    def count(self, line: str) -> int:
        """Return how often bodies have noted a line."""
        return ledger_of(self.home)[line]

    def notes(self) -> list[str]:
        """Return all that bodies have noted, in the order in which it happened."""
        ledger = self.home / "ledger"
        return ledger.read_text().splitlines() if ledger.exists() else []

    def lines(self, prefix: str) -> list[str]:
        """Return the different lines that begin so, without that prefix."""
        return [line.removeprefix(prefix) for line in ledger_of(self.home) if line.startswith(prefix)]

    def wait_noted(self, line: str, times: int = 1) -> None:
        """Wait until bodies have noted a line so often."""
        wait_for(lambda: self.count(line) >= times, f"{times} x {line!r}", PATIENCE_S)

    def open_gate(self, name: str) -> None:
        """Let the bodies go on that stand at a gate; see `gates`."""
        self.home.joinpath(name).touch()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something."""
        wait_for(condition, what, PATIENCE_S)

"""The product as a user runs it: engine and workers as processes on loopback, with their logs, to be started, killed
and started again.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from onward import NotConnected, SyncClient
from onward.settings import Settings

ROOT = Path(__file__).parents[2]
LOG_LINES = 20


def free_port() -> int:
    """Return a port that nobody has, below those that outgoing connections get: who dials a port before anybody listens
    on it could get that very port, and would be connected with himself and in the way of whoever is to listen.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Look every 10 ms until it is true; name what did not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@dataclass
class System:
    """One engine at a fixed address and any number of workers. Everything that was started is ended at the end."""

    home: Path
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict[str, str])
    started: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    clients: dict[str, SyncClient] = field(default_factory=dict[str, SyncClient])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.home / "admin.token").read_text().strip()

    @property
    def client(self) -> SyncClient:
        """One client for each token, closed at the end. It goes the way of the environment."""
        token = self.token
        if token not in self.clients:
            settings = Settings.read({**os.environ, **self.environment}, url=self.url, token=token)
            self.clients[token] = SyncClient(settings=settings)
        return self.clients[token]

    def engine(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the engine and wait until it answers."""
        database = str(self.home / "onward.db")
        child = self.command("engine", "start", "--port", str(self.port), "--db", database, *arguments, log="engine")
        wait_for(lambda: child.poll() is not None or self.answers(), "the engine answers")
        assert child.poll() is None, self.log("engine")
        return child

    def quick_engine(self) -> subprocess.Popen[bytes]:
        """Start an engine with short leases; see `quick_engine`."""
        command = [sys.executable, "-m", "tests.support.quick_engine", str(self.home), str(self.port)]
        child = self._start(command, log="engine")
        wait_for(lambda: child.poll() is not None or self.answers(), "the engine answers")
        assert child.poll() is None, self.log("engine")
        return child

    def worker(self, app: str, *arguments: str, log: str = "worker") -> subprocess.Popen[bytes]:
        """Start a worker and wait until the engine knows it."""
        known = {worker.instance for worker in self.client.list_workers()}
        child = self.command("run", app, *arguments, log=log)
        wait_for(
            lambda: any(one.instance not in known for one in self.client.list_workers()), "the worker is connected"
        )
        return child

    def command(
        self, *arguments: str, log: str, program: str = "", process_group: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `worker …` with its output appended to a log in the home directory. `program` is a script beside Python
        to start it with.
        """
        command = [str(Path(sys.executable).with_name(program))] if program else [sys.executable, "-m", "onward"]
        return self._start([*command, *arguments], log, process_group)

    def _start(self, command: list[str], log: str, process_group: int | None = None) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "ONWARD_URL": self.url,
            "ONWARD_TOKEN_FILE": str(self.home / "admin.token"),
            "HOME_OF_TEST": str(self.home),
            **self.environment,
        }
        with self.home.joinpath(f"{log}.log").open("ab") as out:
            child = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=out, stderr=out, process_group=process_group
            )
        self.started.append(child)
        return child

    def log(self, name: str) -> str:
        return self.home.joinpath(f"{name}.log").read_text()

    def answers(self) -> bool:
        try:
            self.client.list_runs(limit=1)
        except (NotConnected, FileNotFoundError):
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.clients.values():
            client.close()
        for child in reversed(self.started):
            kill(child)
        self._print_logs()

    def _print_logs(self) -> None:
        """They are shown beside the failure of a test."""
        for log in sorted(self.home.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines(keepends=True)[-LOG_LINES:]
            sys.stdout.writelines([f"-- the end of {log.name}\n", *lines])


def kill(child: subprocess.Popen[bytes]) -> None:
    """End a process as a power cut would."""
    if child.poll() is None:
        child.send_signal(signal.SIGKILL)
    child.wait()


def child_of(supervisor: subprocess.Popen[bytes]) -> int:
    """Return the worker below a supervisor. Linux only."""
    [child] = children_of(supervisor)
    return child


def children_of(supervisor: subprocess.Popen[bytes]) -> list[int]:
    """Return the workers below a supervisor. Linux only."""
    return [int(pid) for pid in Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Tell whether a process still runs; one that nobody has asked about since its end does not. Linux only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def note(*words: object) -> None:
    """Called by step bodies of test apps: one durable line in the test's ledger, never torn."""
    ledger = Path(os.environ["HOME_OF_TEST"], "ledger")
    out = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(out, (" ".join(map(str, words)) + "\n").encode())
        os.fsync(out)
    finally:
        os.close(out)


def ledger_of(home: Path) -> Counter[str]:
    """How often each line was noted."""
    ledger = home / "ledger"
    return Counter(ledger.read_text().splitlines()) if ledger.exists() else Counter()


def wait_for_lines(home: Path, count: int) -> None:
    """Wait until the ledger has so many lines: the runs are mid-flight."""
    wait_for(lambda: ledger_of(home).total() >= count, f"{count} lines in the ledger")


def repeated(ledger: Counter[str]) -> Sequence[str]:
    return [line for line, count in ledger.items() if count > 1]

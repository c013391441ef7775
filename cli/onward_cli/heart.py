"""The worker's side of the heartbeat: see `heartbeat`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from onward_cli.errors import CommandError
from onward_cli.heartbeat import FILE

if TYPE_CHECKING:
    from onward.worker import Worker

EVERY_S = 1

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.worker")


class Heart:
    """Writes the file of one worker, with its number if it is one of several. Making one leaves a first beat there, so
    that what an earlier worker has left does not count; raises `CommandError` if that is not possible. The first one
    removes all that is there.
    """

    def __init__(self, folder: str, number: int = 0, *, is_first: bool = True) -> None:
        self._file = Path(folder, f"{FILE}-{number}" if number else FILE)
        self._is_failing = False
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if is_first:
                _clear(self._file.parent)
            self._write(_beat("new", "none"))
        except OSError as error:
            raise CommandError(
                "E0512",
                f"the heartbeat {self._file} cannot be written: {error.strerror}",
                advice="name a directory of this worker's own with --run-dir, best one in memory",
            ) from error

    @asynccontextmanager
    async def beating(self, worker: Worker) -> AsyncGenerator[None]:
        """Beat as long as the event loop turns; at the end nothing is left."""
        beats = asyncio.create_task(self._beat(worker))
        try:
            yield
        finally:
            beats.cancel()
            with suppress(OSError):
                self._file.unlink()

    async def _beat(self, worker: Worker) -> None:
        loop, lag_ms = asyncio.get_running_loop(), 0
        while True:
            self._show(worker, lag_ms)
            due = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            lag_ms = round((loop.time() - due) * 1000)

    def _show(self, worker: Worker, lag_ms: int) -> None:
        """A disk that is full must not end a worker; whoever probes will say that there are no beats."""
        health = worker.health
        try:
            self._write(
                _beat(
                    health.state,
                    health.connection,
                    lost_ms=health.lost_ms,
                    in_flight=health.in_flight,
                    loop_lag_ms=lag_ms,
                    instance=worker.instance,
                )
            )
        except OSError as error:
            if not self._is_failing:
                _log.warning("the heartbeat cannot be written", file=str(self._file), reason=error.strerror)
            self._is_failing = True
        else:
            self._is_failing = False

    def _write(self, line: str) -> None:
        """Whoever reads sees the old line or the new one, never half of one."""
        beside = self._file.with_suffix(".new")
        beside.write_text(line, encoding="utf-8")
        beside.replace(self._file)


def _clear(folder: Path) -> None:
    """There may have been more workers before."""
    for old in folder.glob(f"{FILE}-*"):
        if old.name.removeprefix(f"{FILE}-").isdecimal():
            old.unlink(missing_ok=True)


def _beat(state: str, connection: str, *, lost_ms: int = 0, **more: int | str) -> str:
    about = {"state": state, "connection": connection, "lost_ms": lost_ms, **more, "pid": os.getpid()}
    return json.dumps(about) + "\n"

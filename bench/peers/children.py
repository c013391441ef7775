"""Processes of a peer: each is started here, known by its id, and ended by it, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from ..processes import cpu_s

START_S = 60
END_S = 5
LINE_BYTES_MAX = 2**24
UNPRIVILEGED = "nobody"


class PeerFailed(Exception):
    """A peer cannot be had here, or did not do what it should; the text says why."""


@asynccontextmanager
async def child(
    command: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    end_by: signal.Signals = signal.SIGKILL,
    is_asked: bool = False,
    may_be_root: bool = True,
) -> AsyncGenerator[Process]:
    """Start a process in a group of its own, and end that group. What it prints goes to the log; of one that `is_asked`
    standard input and output are ours.
    """
    options: dict[str, Any] = {} if may_be_root else ownership()
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE if is_asked else asyncio.subprocess.DEVNULL,
            stdout=PIPE if is_asked else out,
            stderr=out,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            limit=LINE_BYTES_MAX,
            **options,
        )
    try:
        yield process
    finally:
        await _end(process, end_by)


async def listening(process: Process, port: int, log: Path) -> None:
    """Return when the process answers on a port of this machine."""
    end = asyncio.get_running_loop().time() + START_S
    while not await _answers(port):
        if process.returncode is not None or asyncio.get_running_loop().time() > end:
            raise PeerFailed(f"{log.stem} does not answer: {tail(log)}")
        await asyncio.sleep(0.05)


def ownership() -> dict[str, Any]:
    """How to start a process that may not be root's."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def give_away(folder: Path) -> None:
    """Let the processes that may not be root's own the folder."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        os.chown(folder, user.pw_uid, user.pw_gid)


def used_s(process: Process) -> float:
    """Seconds of CPU so far, of the process and of those that it started and that still live."""
    for _ in range(5):
        with suppress(FileNotFoundError, ProcessLookupError):  # one of them ended while it was counted
            return cpu_s(process.pid)
    raise PeerFailed(f"process {process.pid} is gone")


def tail(log: Path) -> str:
    """The last lines of a log, as one."""
    return " | ".join(log.read_text(encoding="utf-8", errors="replace").split("\n")[-6:]).strip(" |")


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _end(process: Process, end_by: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(end_by)
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # itself, if it has not heard, and what it has started
    await process.wait()

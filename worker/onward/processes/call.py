"""An attempt of a step in another process, as its worker sees it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from onward.attempt import StepAttempt
from onward.errors import ProcessDied
from onward.processes.elsewhere import Address, Elsewhere
from onward.processes.parcels import (
    Beat,
    Began,
    Done,
    Failed,
    Logged,
    MainModule,
    Said,
    Task,
    error_of,
    pack,
    unpack,
)
from onward.processes.pool import pool
from onward.processes.process import StepProcess
from onward.processes.records import bound_fields, levels, write_line, write_record

_MAIN: Final = b"\x8c\x08__main__"
"""In a parcel: a class or a function of this module."""


class RemoteCall:
    """One attempt of a step in another process. `began` is called when its body begins there."""

    def __init__(self, attempt: StepAttempt, began: Callable[[], None]) -> None:
        self._attempt = attempt
        self._began = began
        self._lock = threading.Lock()
        self._process: StepProcess | None = None
        self._is_stopped = False

    def carry(self, target: Elsewhere, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Execute it, and return what will be kept of its result. Blocks. Raises what it raises, and `ProcessDied`."""
        task = self._task(target, args, kwargs)
        process = self._take()
        try:
            process.give(task)
            ending = self._listen(process)
        except BaseException:
            process.kill()
            self._let_go(process, is_ready=False)
            raise
        status = self._let_go(process, is_ready=ending is not None)
        if ending is None:
            raise ProcessDied(f"the process of {target.label} {_how(status)}.")
        if isinstance(ending, Failed):
            raise error_of(ending)
        return target.decode(ending.output)

    def stop(self) -> None:
        """Nobody waits for it any more: end the process that does it."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _take(self) -> StepProcess:
        process = pool().take()
        with self._lock:
            self._process = process
            if self._is_stopped:
                process.kill()
        return process

    def _let_go(self, process: StepProcess, *, is_ready: bool) -> int:
        """Return how it has ended, if it is not ready for the next task."""
        with self._lock:
            self._process, is_ready = None, is_ready and not self._is_stopped
        if is_ready:
            pool().give_back(process)
            return 0
        return process.end()

    def _task(self, target: Elsewhere, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Task:
        told, what = self._attempt, f"an argument of {target.label}"
        arguments = pack((args, dict(kwargs)), what)
        details = b"" if told.details is None else pack(told.details, what)
        return Task(
            target.address,
            target.label,
            told.id,
            told.key,
            told.run_id,
            told.attempt,
            told.max_attempts,
            details,
            arguments,
            _main_for(target.address, arguments, details),
            levels(),
            bound_fields(),
        )

    def _listen(self, process: StepProcess) -> Done | Failed | None:
        for message in process.messages():
            match message:
                case Began():
                    self._began()
                case Beat(details):
                    self._attempt.heartbeat(unpack(details))
                case Logged():
                    write_record(message)
                case Said():
                    write_line(message)
                case Failed(details=details):
                    self._attempt.heartbeat(unpack(details))
                    return message
                case Done():
                    return message
        return None


def _main_for(address: Address, *parcels: bytes) -> MainModule | None:
    """Return the program that was started, if something of it is needed."""
    if address.module != "__main__" and not any(_MAIN in parcel for parcel in parcels):
        return None
    main: Any = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if not spec and not file:  # typed in, or -c: "__main__" may also be just a text
        return None
    return MainModule(spec.name if spec else "", os.path.abspath(file or ""))


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status} in the middle of it"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    likely = ", which is what happens when memory runs out" if name == "SIGKILL" else ""
    return f"was ended by {name}{likely}"

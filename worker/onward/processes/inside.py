"""What a process for bodies of steps does: take one task after another from its worker, and end with it."""

from __future__ import annotations

import faulthandler
import fcntl
import importlib
import logging
import os
import runpy
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from multiprocessing.connection import Connection
from types import FrameType, ModuleType
from typing import Any, Final

from onward.attempt import StepAttempt, present
from onward.errors import ConfigError
from onward.processes.elsewhere import function_at
from onward.processes.parcels import (
    Beat,
    Began,
    Done,
    MainModule,
    Message,
    Task,
    failed,
    pack,
    read_task,
    unpack,
    write_message,
)
from onward.processes.records import bind_fields, forward_lines, forward_records, keep_records
from onward.values.results import Encoder, result_codec

BEATS_MAX: Final = 100
WINDOW_S: Final = 0.1
"""A body may give a million signs of life in a second; the worker has other things to do than to read them all."""


def main(channel: int, lifeline: int) -> None:
    """Serve until the worker has closed its end of the channel."""
    for end in (channel, lifeline):
        os.set_inheritable(end, False)
    # A group of processes is told to end as a whole, by a terminal or a service manager. The worker decides what that
    # means here. Handlers, because what is ignored would be ignored by programs that a body starts, too.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _do_nothing)
    end_with(lifeline)
    faulthandler.enable()
    Servant(Connection(channel)).serve()


def end_with(lifeline: int) -> None:
    """End this process group as soon as the other end of the pipe is closed, even inside of code that never returns to
    the interpreter: the system sends SIGIO, of which a process dies.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(lifeline)
    if poll.poll(0):  # it was closed before
        sys.exit(1)


class Servant:
    """Executes tasks, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], tuple[Callable[..., Any], Encoder]] = {}
        self._has_main = False
        self._levels: tuple[int, int] | None = None
        forward_records(self._say)
        os.register_at_fork(after_in_child=self._leave)

    def serve(self) -> None:
        """Return when no more tasks can come."""
        while True:
            try:
                task = read_task(self._connection.recv_bytes())
                self._send(copy_context().run(self._answer, task))
            except (EOFError, ConnectionError):
                return

    def _answer(self, task: Task) -> bytes:
        pulse = Pulse(self._say, task.details)
        try:
            answer = write_message(Done(self._output(task, pulse)))
        except BaseException as error:  # whatever a body raises is that attempt's failure
            if self._is_left:
                raise
            answer = write_message(failed(error, pulse.left()))
        if self._is_left:  # a body has forked, and both of it have come back: one of them speaks
            raise SystemExit
        pulse.end()
        return answer

    @property
    def _is_left(self) -> bool:
        return os.getpid() != self._pid

    def _leave(self) -> None:
        """This is a process that a body has forked. What it would say here would be taken for the answer to the next
        task; its log goes where logs go that nobody has set up.
        """
        self._connection.close()
        keep_records()

    def _output(self, task: Task, pulse: Pulse) -> bytes:
        self._take_levels(task.levels)
        if task.main is not None and not self._has_main:
            take_main(task.main)
            self._has_main = True
        fn, encode = self._function(task)
        args, kwargs = unpack(task.arguments)
        attempt = StepAttempt(
            task.id, task.key, task.run_id, task.attempt, task.max_attempts, unpack(task.details), pulse.beat
        )
        pulse.attempt = attempt
        present.set(lambda: attempt)
        bind_fields(task.fields)
        self._say(Began())
        return encode(fn(*args, **kwargs))

    def _take_levels(self, levels: tuple[int, int]) -> None:
        """Do so before anything of the program is loaded: it may set up a log of its own."""
        if self._levels is None:
            forward_lines(self._say, levels[1])
        if levels != self._levels:
            self._levels = levels
            logging.getLogger().setLevel(levels[0])

    def _function(self, task: Task) -> tuple[Callable[..., Any], Encoder]:
        address = task.address
        place = address.module, address.path, task.label
        if place not in self._known:
            fn = function_at(importlib.import_module(address.module), address.path)
            if not callable(fn):
                where = f"{address.module}.{address.path}"
                raise ConfigError(f"{task.label}: another process finds no function at {where}.", code="E0130")
            self._known[place] = fn, result_codec(fn, task.label)[0]
        return self._known[place]

    def _say(self, message: Message) -> None:
        if not self._is_left:  # otherwise the lock may be held for ever
            self._send(write_message(message))

    def _send(self, message: bytes) -> None:
        with self._lock:
            self._connection.send_bytes(message)


class Pulse:
    """The signs of life of one attempt. What comes too quickly waits for the next one."""

    def __init__(self, say: Callable[[Message], None], told: bytes) -> None:
        self.attempt: StepAttempt | None = None
        self._lock = threading.Lock()
        self._say = say
        self._window = 0.0
        self._count = 0
        self._told = told
        self._has_ended = False

    def beat(self) -> None:
        """Tell the worker, with new details if there are any; nothing after `end`."""
        now = time.monotonic()
        if now - self._window > WINDOW_S:
            self._window, self._count = now, 0
        self._count += 1
        if self._count <= BEATS_MAX:
            with self._lock:
                if not self._has_ended:
                    self._say(Beat(self.left()))

    def end(self) -> None:
        """The attempt is over. A thread that its body has left behind would speak for the next one."""
        with self._lock:
            self._has_ended = True

    def left(self) -> bytes:
        """Return the details that the worker has not heard of yet."""
        if self.attempt is None or (details := self.attempt.left()) is None:
            return b""
        parcel = pack(details, f"what the heartbeat of step '{self.attempt.id}' leaves behind")
        if parcel == self._told:
            return b""
        self._told = parcel
        return parcel


def take_main(main: MainModule) -> None:
    """Load the worker's own program, as a module that is not the main one, under the names that it has there."""
    if main.name:
        content = runpy.run_module(main.name, run_name="__mp_main__", alter_sys=True)
    else:
        content = runpy.run_path(main.file, run_name="__mp_main__")
    module = ModuleType("__mp_main__")
    vars(module).update(content)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """The worker decides."""

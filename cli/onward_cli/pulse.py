"""A page of memory that a worker and its supervisor share: the one writes what the other sees when it stands still.

It has no name and lies on no disk, because the session's secret and the token are in it. What the worker was doing is
there before it does it, so nothing has to run in the worker for the supervisor to know it.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time
from struct import Struct

_NUMBER = Struct("<q")
_SIZE = Struct("<H")
_TICK_AT = 0
_WHICH_AT = 8  # which of the two introductions counts; 0: none
_LEFT_AT = 9
_TOLD_AT = 10
_ASKED_AT, _ASKED_MAX = 11, 255
_NOW_AT, _NOW_BYTES = 16, 256
_IDLE_AT = 280
_WITNESS_AT = 288
_THREADS_AT, _THREADS_BYTES = 512, 2_048
_PLAN_AT, _PLAN_BYTES = 2_560, 1_536
_ABOUT_AT, _ABOUT_BYTES = (4_096, 12_288), 8_192
_PAGE_BYTES = 20_480
_STACK_AT = _PAGE_BYTES  # of the same file, behind the page
STACK_BYTES_MAX = 64 * 1024
NOW_BYTES_MAX = _NOW_BYTES - 1
THREADS_BYTES_MAX = _THREADS_BYTES - _SIZE.size
ABOUT_BYTES_MAX = _ABOUT_BYTES - _SIZE.size


def make_file() -> int:
    """Return the descriptor of a new page, for `Pulse`."""
    if sys.platform == "linux":
        file = os.memfd_create("onward-pulse")
    else:
        with tempfile.TemporaryFile() as unnamed:
            file = os.dup(unnamed.fileno())
    os.ftruncate(file, _PAGE_BYTES)
    return file


class Pulse:
    """The page, at either end."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._page = mmap.mmap(file, _PAGE_BYTES)

    # -- the worker's end

    def tick(self) -> None:
        """Note that the event loop turns."""
        _NUMBER.pack_into(self._page, _TICK_AT, time.monotonic_ns())

    def introduce(self, about: bytes) -> None:
        """Leave what is needed to speak for this worker. The one before stays whole until this one is."""
        which = self._page[_WHICH_AT] % 2
        self._write(_ABOUT_AT[which], about)
        self._page[_WHICH_AT] = 1 + which

    def leave(self) -> None:
        """Note that the worker has said its last word."""
        self._page[_LEFT_AT] = 1

    def tell(self) -> None:
        """Note that the worker ends because of an error, and that it has said so."""
        self._page[_TOLD_AT] = 1

    def agree(self, plan: bytes) -> None:
        """Leave what the worker's options say to its supervisor."""
        assert len(plan) <= _PLAN_BYTES - _SIZE.size, "a few numbers and a path of the system's"
        self._write(_PLAN_AT, plan)

    def idle(self, ms: int | None) -> None:
        """Note for how long there has been nothing to do; None: it is not known."""
        _NUMBER.pack_into(self._page, _IDLE_AT, 0 if ms is None else ms + 1)

    def runs_now(self, name: bytes) -> None:
        """Note what the event loop executes from now on: a step, or nothing (empty)."""
        if name:
            self._page[_NOW_AT : _NOW_AT + 1 + len(name)] = bytes((len(name),)) + name
        else:
            self._page[_NOW_AT] = 0

    def threads_run(self, names: bytes) -> None:
        """Note what threads execute."""
        self._write(_THREADS_AT, names)

    def witnessed_by(self, thread: int) -> None:
        """Leave the system's number of the thread that can be asked for stacks."""
        _NUMBER.pack_into(self._page, _WITNESS_AT, thread)

    @property
    def asked(self) -> int:
        """Return how many signals the supervisor has sent."""
        return self._page[_ASKED_AT]

    # -- the supervisor's end

    def ask(self) -> None:
        """Note that a signal is sent, before it is: whoever gets it finds it counted."""
        self._page[_ASKED_AT] = min(self._page[_ASKED_AT] + 1, _ASKED_MAX)

    @property
    def about(self) -> bytes:
        """Return the newest introduction; empty if there was none."""
        which = self._page[_WHICH_AT]
        return self._read(_ABOUT_AT[which - 1]) if which else b""

    @property
    def has_left(self) -> bool:
        """Tell whether the worker has said its last word."""
        return bool(self._page[_LEFT_AT])

    @property
    def has_told(self) -> bool:
        """Tell whether the worker has told of the error that ended it."""
        return bool(self._page[_TOLD_AT])

    @property
    def plan(self) -> bytes:
        """Return what the worker's options say; empty before it has read them."""
        return self._read(_PLAN_AT)

    @property
    def idle_ms(self) -> int | None:
        """Return for how long there has been nothing to do; None if that is not known."""
        idle: int = _NUMBER.unpack_from(self._page, _IDLE_AT)[0]
        return idle - 1 if idle else None

    @property
    def age_ms(self) -> int:
        """Return for how long the event loop has not turned."""
        tick_ns: int = _NUMBER.unpack_from(self._page, _TICK_AT)[0]
        return (time.monotonic_ns() - tick_ns) // 1_000_000

    @property
    def is_on_loop(self) -> bool:
        """Tell whether the event loop executes a step."""
        return bool(self._page[_NOW_AT])

    @property
    def now(self) -> list[list[str]]:
        """Return what executes, or may: run, function and step. On the loop it is one; in threads it may be any."""
        size = self._page[_NOW_AT]
        names = self._page[_NOW_AT + 1 : _NOW_AT + 1 + size] if size else self._read(_THREADS_AT)
        return [name.split("\n") for name in names.decode(errors="replace").split("\0") if name.count("\n") == 2]

    @property
    def witness(self) -> int:
        """Return the number of the thread that can be asked for stacks; 0 if there is none."""
        thread: int = _NUMBER.unpack_from(self._page, _WITNESS_AT)[0]
        return thread

    def take_stack(self) -> str:
        """Return the stack that was left behind the page, and forget it."""
        stack = os.pread(self.file, STACK_BYTES_MAX, _STACK_AT)
        self.forget_stack()
        return stack.decode(errors="replace").strip("\0\n")

    def forget_stack(self) -> None:
        """Be ready for the next one: both ends have the same place in the file."""
        os.ftruncate(self.file, _PAGE_BYTES)
        os.lseek(self.file, _STACK_AT, os.SEEK_SET)

    def close(self) -> None:
        """Give page and file back."""
        self._page.close()
        os.close(self.file)

    def _write(self, at: int, text: bytes) -> None:
        self._page[at + _SIZE.size : at + _SIZE.size + len(text)] = text
        _SIZE.pack_into(self._page, at, len(text))  # whoever finds the size finds the text

    def _read(self, at: int) -> bytes:
        (size,) = _SIZE.unpack_from(self._page, at)
        return self._page[at + _SIZE.size : at + _SIZE.size + size]


def patience_ms(beat_ms: int) -> int:
    """Return after how long an event loop that does not turn is taken for blocked: 3 s at the default beat."""
    return beat_ms * 3 // 5

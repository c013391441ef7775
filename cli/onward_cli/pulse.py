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
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onward.watch import Identity

_TICK = Struct("<q")
_SIZE = Struct("<H")
_TICK_AT = 0
_WHICH_AT = 8  # which of the two introductions counts; 0: none
_LEFT_AT = 9
_NOW_AT, _NOW_BYTES = 16, 256
_THREADS_AT, _THREADS_BYTES = 512, 2_048
_ABOUT_AT, _ABOUT_BYTES = (4_096, 12_288), 8_192
_PAGE_BYTES = 20_480
_STACK_AT = _PAGE_BYTES  # of the same file, behind the page
STACK_BYTES_MAX = 64 * 1024


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
        _TICK.pack_into(self._page, _TICK_AT, time.monotonic_ns())

    def introduce(self, about: bytes) -> None:
        """Leave what is needed to speak for this worker. The one before stays whole until this one is."""
        which = self._page[_WHICH_AT] % 2
        _SIZE.pack_into(self._page, _ABOUT_AT[which], len(about))
        start = _ABOUT_AT[which] + _SIZE.size
        self._page[start : start + len(about)] = about
        self._page[_WHICH_AT] = 1 + which

    def leave(self) -> None:
        """Note that the worker has said its last word."""
        self._page[_LEFT_AT] = 1

    def runs_now(self, name: bytes) -> None:
        """Note what the event loop executes from now on: a step, or nothing (empty)."""
        if name:
            self._page[_NOW_AT : _NOW_AT + 1 + len(name)] = bytes((len(name),)) + name
        else:
            self._page[_NOW_AT] = 0

    def threads_run(self, names: bytes) -> None:
        """Note what threads execute."""
        _SIZE.pack_into(self._page, _THREADS_AT, len(names))
        start = _THREADS_AT + _SIZE.size
        self._page[start : start + len(names)] = names

    # -- the supervisor's end

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
    def age_ms(self) -> int:
        """Return for how long the event loop has not turned."""
        tick_ns: int = _TICK.unpack_from(self._page, _TICK_AT)[0]
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

    def take_stack(self) -> str:
        """Return the stack that was left behind the page, and forget it."""
        stack = os.pread(self.file, STACK_BYTES_MAX, _STACK_AT)
        self.forget_stack()
        return stack.decode(errors="replace").strip("\0\n")

    def forget_stack(self) -> None:
        """Be ready for the next one: both ends have the same place in the file."""
        os.ftruncate(self.file, _PAGE_BYTES)
        os.lseek(self.file, _STACK_AT, os.SEEK_SET)

    def _read(self, at: int) -> bytes:
        (size,) = _SIZE.unpack_from(self._page, at)
        return self._page[at + _SIZE.size : at + _SIZE.size + size]


class PulseWatch:
    """Shows a worker to its supervisor. Implements `Watch`.

    `introduction` makes what the supervisor needs of the worker's identity. The stack of a loop that does not turn is
    written by a thread of the interpreter's own, which needs nothing of what may be held.
    """

    def __init__(self, pulse: Pulse, introduction: Callable[[Identity], bytes]) -> None:
        self._pulse = pulse
        self._introduction = introduction
        self._patience_s: float | None = None
        self._threads: list[bytes] = []
        pulse.forget_stack()

    def tick(self) -> None:
        """See `Watch`."""
        is_late = self._patience_s is not None and self._pulse.age_ms >= self._patience_s * 1000
        self._pulse.tick()
        if self._patience_s is not None:
            import faulthandler

            faulthandler.dump_traceback_later(self._patience_s, file=self._pulse.file)
        if is_late:
            self._pulse.forget_stack()  # that of a pause too short to be told of would stand before the next one

    def met(self, identity: Identity) -> None:
        """See `Watch`."""
        about = self._introduction(identity)
        if len(about) < _ABOUT_BYTES - _SIZE.size:
            self._pulse.tick()
            self._pulse.introduce(about)
            self._patience_s = patience_ms(identity.beat_ms) * 0.8 / 1000

    def left(self) -> None:
        """See `Watch`."""
        self._pulse.leave()

    def runs_now(self, name: bytes) -> None:
        """See `Watch`."""
        self._pulse.runs_now(name[: _NOW_BYTES - 1])

    def thread_began(self, name: bytes) -> None:
        """See `Watch`."""
        self._threads.append(name)
        self._show_threads()

    def thread_ended(self, name: bytes) -> None:
        """See `Watch`."""
        self._threads.remove(name)
        self._show_threads()

    def _show_threads(self) -> None:
        self._pulse.threads_run(b"\0".join(self._threads[-8:])[: _THREADS_BYTES - _SIZE.size])


def patience_ms(beat_ms: int) -> int:
    """Return after how long an event loop that does not turn is taken for blocked: 3 s at the default beat."""
    return beat_ms * 3 // 5

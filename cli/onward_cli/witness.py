"""Writes where a worker's threads are, onto the page of its supervisor, when its event loop does not turn.

Whoever reads a stack while its thread executes Python follows frames that are being freed, and ends the process. So it
is read by somebody who holds the interpreter, or who knows that nobody gives it back.
"""

from __future__ import annotations

import _thread
import faulthandler
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onward_cli.pulse import Pulse

ASK = getattr(signal, "SIGURG", None) if sys.platform == "linux" else None
"""Who does not expect it, ignores it: it can do no harm."""

_OWN = "Current thread"  # so its part begins
_CRASH = "Fatal Python error"


class Witness:
    """A thread that looks at the pulse, from `watch` until `leave`.

    It writes as soon as it gets the interpreter, and again for as long as the loop stands still. If C code keeps the
    interpreter from it, it can be asked: see `ask`. It is not one of the threads that Python waits for at its end.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._patience_ms = 0
        self._looking = _thread.allocate_lock()

    def watch(self, patience_ms: int) -> None:
        """Take the loop for blocked after so long. May be called again."""
        is_first, self._patience_ms = not self._patience_ms, patience_ms
        if is_first:
            _thread.start_new_thread(self._look_on, (_listen(self._pulse.file),))

    def leave(self) -> None:
        """Look at nothing any more: when this returns, the page may be given back."""
        with self._looking:
            self._patience_ms = 0

    def _look_on(self, can_be_asked: bool) -> None:
        with self._looking:
            if self._patience_ms and can_be_asked:
                self._pulse.witnessed_by(_thread.get_native_id())
        while rest_ms := self._look():
            time.sleep(rest_ms / 1000)

    def _look(self) -> int:
        """Return when to look again, in milliseconds; 0: never."""
        with self._looking:
            if not self._patience_ms:
                return 0
            rest_ms = self._patience_ms - self._pulse.age_ms
            if rest_ms <= 0:
                self._write()
            return rest_ms if rest_ms > 0 else self._patience_ms

    def _write(self) -> None:
        self._pulse.forget_stack()
        faulthandler.dump_traceback(self._pulse.file, all_threads=True)


def ask(process: int, witness: int) -> None:
    """Have the stacks written in the witness's own thread, although it waits for the interpreter. Do so only if whoever
    holds that has kept it for long: then no stack is in motion.

    Nobody else's system call is broken off, because the signal is that thread's alone. Without a way to send one to a
    thread, nothing is done.
    """
    if ASK is None or not witness:
        return
    import ctypes  # 1 MiB of a supervisor that never needs it

    if hasattr(library := ctypes.CDLL(None), "tgkill"):
        library.tgkill(process, witness, ASK)


def without_witness(text: str) -> str:
    """Return what was written without the witness's own part. What a crash has left is the better one."""
    _, crash, stack = text.rpartition(_CRASH)
    if crash:
        return crash + stack
    return "\n\n".join(part for part in text.split("\n\n") if not part.startswith(_OWN))


def _listen(file: int) -> bool:
    """Be ready to be asked, unless the user's code has other uses for the signal."""
    if ASK is None or signal.getsignal(ASK) not in {signal.SIG_DFL, signal.SIG_IGN}:
        return False
    faulthandler.register(ASK, file, all_threads=True, chain=False)
    return True

"""One process for bodies of steps, as its worker sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Pipe
from typing import Final

from onward.processes.parcels import Message, Task, read_message, write_task

LOOK_S: Final = 1.0
"""Mostly the end of the channel tells of a process that has died; not if it has left children behind that have it."""

PATIENCE_S: Final = 5.0
"""For what the program does when it ends."""

# The user's folders come last until all is there that we need: a file named queue.py in them is nobody's business.
_START: Final = (
    "import json, sys; path = json.loads(sys.argv.pop()); sys.path += path; "
    "from onward.processes.inside import main; sys.path[:] = path; "
    "main(int(sys.argv.pop()), int(sys.argv.pop()))"
)


class StepProcess:
    """A new interpreter, which loads of the program what its tasks need. `idle_since` belongs to the pool.

    It leads a group of its own: it is killed together with what a body has started, and hears no signal that is meant
    for its worker.
    """

    def __init__(self) -> None:
        self.idle_since: float = 0.0
        self._channel, theirs = Pipe()
        watched, self._lifeline = os.pipe()
        path = json.dumps([str(entry) for entry in sys.path])
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and code of ours
                [sys.executable, "-P", "-c", _START, str(watched), str(theirs.fileno()), path],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), watched),
                process_group=0,
            )
        except BaseException:
            self._channel.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(watched)

    @property
    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def give(self, task: Task) -> None:
        """Hand over the next task. Of a process that has died meanwhile `messages` will tell nothing."""
        with suppress(ConnectionError):
            self._channel.send_bytes(write_task(task))

    def messages(self) -> Iterator[Message]:
        """Return what it says, as it comes, until it has died. Blocks."""
        with suppress(EOFError, OSError):  # the second one if it has died in the middle of a word
            while True:
                if self._channel.poll(LOOK_S):
                    yield read_message(self._channel.recv_bytes())
                elif not self.is_alive:
                    break
        self.kill()  # what it has started would go on beside the next attempt

    def kill(self) -> None:
        """End it at once, and what it has started, also if it has just died. May be called from any thread, before
        `end`: after that its number may be somebody else's.
        """
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> int:
        """Return how it has ended, as an exit status; negative is a signal's number. One that has nothing to do ends by
        itself, and is killed if it does not.
        """
        self._channel.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE_S)
        if self.is_alive:
            self.kill()
        status = self._process.wait()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        return status

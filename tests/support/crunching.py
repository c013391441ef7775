"""Steps for processes: functions of a module that can be imported there."""

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward import NonRetryable, Retry, RetryAfter, current_step, step

ONCE = Retry(attempts=1)
TWICE = Retry(attempts=2, backoff=0, jitter=0)

log = logging.getLogger("crunching")


@dataclass
class Matrix:
    rows: list[list[int]]


class Odd(Exception):
    """Takes other arguments than it hands on."""

    def __init__(self, number: int, *, hint: str) -> None:
        super().__init__(f"{number} is odd")
        self.hint = hint


@step(executor="process", retry=ONCE)
def transposed(matrix: Matrix) -> Matrix:
    return Matrix([list(row) for row in zip(*matrix.rows, strict=True)])


@step(executor="process", retry=ONCE)
def place() -> tuple[int, bool]:
    return os.getpid(), os.getpid() == os.getpgrp()


@step(executor="process", retry=ONCE)
def halves(number: int) -> int:
    if number % 2:
        raise Odd(number, hint="add one")
    return number // 2


@step(executor="process", retry=TWICE)
def dies(how: str) -> str:
    if current_step().attempt == 2:
        return f"second attempt after {how}"
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)
    return "not reached"


@step(executor="process", retry=ONCE)
def raises(what: str) -> None:
    class Local(Exception): ...

    errors: dict[str, BaseException] = {
        "local": Local("nobody else has this class"),
        "exit": SystemExit(4),
        "final": NonRetryable("no", data={"a": 1}),
        "later": RetryAfter("1h"),
        "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        "cancelled": asyncio.CancelledError("somebody"),
        "interrupted": KeyboardInterrupt("somebody"),
    }
    raise errors[what]


@step(executor="process", retry=ONCE)
def sleeps(pids: str, seconds: float) -> str:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(pids).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(seconds)
    child.kill()
    child.wait()
    return "awake"


@step(executor="process", retry=TWICE)
def counts(to: int) -> list[Any]:
    here = current_step()
    first = here.details or 0
    for number in range(first, to):
        here.heartbeat(number + 1)
        if number == 4 and here.attempt == 1:
            os._exit(1)
    return [first, here.id, here.key, here.run_id, here.attempt, here.max_attempts]


@step(executor="process", retry=ONCE)
def logs(word: str) -> None:
    log.warning("a record says %s", word, extra={"what": object()})
    import structlog

    structlog.get_logger("lines").info("a line", word=word)


class OneWay:
    """Goes into a parcel, and does not come out of it."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@step(executor="process", retry=ONCE)
def logs_what_cannot_be_read() -> str:
    log.warning("never seen", extra={"what": OneWay()})
    return "done"


@step(executor="process", retry=ONCE)
def forks(word: str, how: str) -> str:
    """Both that come back are in the same code; the parent waits until the other has ended, and cannot count on it."""
    child = os.fork()
    if child == 0:
        log.warning("of nobody")
        if how == "exits":
            sys.exit(0)
        if how == "raises":
            raise Odd(1, hint="in the other process")
        return f"{word} of another process"
    os.waitpid(child, 0)
    return word


@step(executor="process", retry=ONCE)
def calls_a_step() -> int:
    return halves(2)


@step(executor="process", retry=ONCE)
def takes_anything(thing: object) -> object:
    return thing


@step(executor="process", retry=ONCE)
def returns_a_lock() -> object:
    import threading

    return threading.Lock()


def factorial(number: int) -> int:
    return number if number < 2 else number * factorial(number - 1)

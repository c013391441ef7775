"""The functions whose limits are watched. Each notes when it comes in and goes out, in a file of its process.

Times are of the clock that all processes of a machine share. A process that is killed loses no line.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from onward import App, Concurrency, Context, EventType, Retry, Singleton
from onward.connection.dialer import Dialer
from onward.worker import Worker

from tests.chaos.nursery import Child, log_to, loop_factory, start

NOTES = "notes"
KEY = "event.data.key"
SLOTS = 64


@dataclass(frozen=True)
class Task:
    """What a run does: it is inside for so long, perhaps sleeps, is inside again, and then ends well or badly."""

    number: int
    key: str
    stay_ms: int
    nap_ms: int = 0
    fails: bool = False


@dataclass(frozen=True)
class Lane:
    """A limit: at most so many are inside of what has this name, for each key if the limit has one."""

    name: str
    limit: int
    is_keyed: bool = True


LANES = {
    "one": (Lane("one", 1),),
    "three": (Lane("three", 3),),
    "whole": (Lane("whole", 2),),
    "both": (Lane("both", 2), Lane("all-of-both", 20, is_keyed=False)),
    "left": (Lane("app", 2),),
    "right": (Lane("app", 2),),
    "single": (Lane("single", 1),),
}
"""The limits of each function."""

REPLACING = "single"
"""The function of which a new run cancels the older one of its key."""

EVENTS = {name: EventType(f"limits/{name}", Task) for name in LANES}


class Line(NamedTuple):
    """One line of a process: a run came in ("+") or went out ("-"), or a function came to its end ("=")."""

    verb: str
    at_ns: int
    function: str
    key: str
    run: str
    worker: str


class Notebook:
    """The file of one process."""

    def __init__(self, home: Path, worker: str) -> None:
        home.joinpath(NOTES).mkdir(exist_ok=True)
        self._file = os.open(home / NOTES / worker, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, verb: str, ctx: Context[Task]) -> None:
        """Append a line."""
        words = (verb, time.monotonic_ns(), ctx.function_id.rpartition("/")[2], ctx.data.key, ctx.run_id)
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    @contextmanager
    def inside(self, ctx: Context[Task]) -> Generator[None]:
        """Note that a run comes in, and, however that ends, that it goes out."""
        self.write("+", ctx)
        try:
            yield
        finally:
            self.write("-", ctx)


def read(path: Path, after: int = 0) -> tuple[list[Line], int]:
    """Return the lines of a process behind a position, and the position behind them."""
    with path.open("rb") as file:
        file.seek(after)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return list(_lines(whole.decode(), path.name)), after + len(whole)


def _lines(text: str, worker: str) -> Iterator[Line]:
    for verb, at_ns, function, key, run in map(str.split, text.splitlines()):
        yield Line(verb, int(at_ns), function, key, run, worker)


def make_app(notebook: Notebook) -> App:
    """Return the app as a process has it."""
    app = App("limits", retry=Retry(attempts=1))

    async def visit(ctx: Context[Task]) -> int:
        with notebook.inside(ctx):
            await asyncio.sleep(ctx.data.stay_ms / 1000)
        if ctx.data.nap_ms:
            await ctx.sleep(ctx.data.nap_ms / 1000)
            with notebook.inside(ctx):
                await asyncio.sleep(ctx.data.stay_ms / 1000)
        return end(ctx)

    async def hold(ctx: Context[Task]) -> int:
        with notebook.inside(ctx):
            await asyncio.sleep(ctx.data.stay_ms / 1000)
            if ctx.data.nap_ms:
                await ctx.sleep(ctx.data.nap_ms / 1000)
        return end(ctx)

    def end(ctx: Context[Task]) -> int:
        notebook.write("=", ctx)
        if ctx.data.fails:
            raise ValueError(ctx.data.number)
        return ctx.data.number

    shared = Concurrency(2, KEY, scope="app")
    app.on(EVENTS["one"], id="one", concurrency=Concurrency(1, KEY))(visit)
    app.on(EVENTS["three"], id="three", concurrency=Concurrency(3, KEY))(visit)
    app.on(EVENTS["whole"], id="whole", concurrency=Concurrency(2, KEY, of="run"))(hold)
    app.on(EVENTS["both"], id="both", concurrency=[Concurrency(2, KEY), Concurrency(20)])(visit)
    app.on(EVENTS["left"], id="left", concurrency=shared)(visit)
    app.on(EVENTS["right"], id="right", concurrency=shared)(visit)
    app.on(EVENTS["single"], id="single", singleton=Singleton(KEY, "cancel"))(hold)
    return app


def make_task(rng: Random, number: int, keys: int) -> tuple[str, Task]:
    """Return a random task, and the function that is to do it. Some keys have much more to do than others."""
    nap_ms = rng.choice((0, 0, 0, 20, 300))
    task = Task(
        number, f"key-{int(keys * rng.random() ** 2)}", rng.choice((0, 1, 5, 20, 50)), nap_ms, rng.random() < 0.1
    )
    return rng.choice(list(LANES)), task


def start_worker(name: str, url: str, home: Path) -> Child:
    """Start a worker."""
    return start(name, partial(_run, name, url, home))


def _run(name: str, url: str, home: Path) -> None:
    log_to(home / "worker.log")
    dial = Dialer(url, lambda: "")
    worker = Worker(make_app(Notebook(home, name)), url=url, concurrency=SLOTS, park_ttl="2s", dial=dial)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(worker.run())

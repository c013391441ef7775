"""Engines and workers as processes that are born quickly: a process that has imported everything forks them.

A new one is there within some 30 ms, a hundred milliseconds of processor time less than a fresh interpreter, so that
thousands of them can be killed within minutes.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog
from onward.checkpoint import PRESETS
from onward.connection.dialer import Dialer
from onward.connection.link import Dial
from onward.worker import Worker
from onward_engine import Settings, serve

from tests.chaos.notes import NotedAcks, NotedLedger
from tests.support.link import Link
from tests.support.stories import make_app
from tests.support.tap import Tap

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.chaos.nursery", "onward_engine.engine", "onward_engine.store.sqlite", "uvloop"])


@dataclass(eq=False)
class Child:
    """One process. `name` is its own."""

    name: str
    process: BaseProcess
    is_stopped: bool = False

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.join()

    def stop(self) -> None:
        """Let it stand still."""
        self.is_stopped = True
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)
        self.is_stopped = False


def start_engine(name: str, settings: Settings, log: Path) -> Child:
    """Start an engine; it listens a moment later."""
    return start(name, partial(_run_engine, settings, log))


def start_worker(name: str, url: str, home: Path, preset: str, slots: int) -> Child:
    """Start a worker; it writes down what it does in `home`."""
    return start(name, partial(_run_worker, name, url, home, preset, slots))


def start(name: str, main: partial[None]) -> Child:
    """Start a process that runs `main`."""
    process = _forks.Process(target=main, name=name, daemon=True)
    process.start()
    return Child(name, process)


def _run_engine(settings: Settings, log: Path) -> None:
    log_to(log)
    serve(settings)


def _run_worker(name: str, url: str, home: Path, preset: str, slots: int) -> None:
    log_to(home / "worker.log")
    app = make_app(NotedLedger(home, name), name)
    dial = _tapped(name, home, Dialer(url, lambda: ""))
    worker = Worker(app, url=url, concurrency=slots, checkpoint=PRESETS[preset], park_ttl="2s", dial=dial)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(worker.run())


def _tapped(name: str, home: Path, dial: Dial) -> Dial:
    tap = Tap(lambda _worker: Link())
    tap.overheard = NotedAcks(home, name)
    return tap.on(name, dial)


def log_to(path: Path) -> None:
    """Log only what is worth a look afterwards: a warning that belongs to a kill is not."""
    logging.basicConfig(filename=path, level=logging.ERROR)
    out = path.open("a", encoding="utf-8")
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(out),
    )


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Return the faster loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop

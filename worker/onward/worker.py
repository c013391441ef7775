"""The embeddable worker: what `worker run` starts, for your own process."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from contextvars import Context
from functools import partial
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from onward_protocol.busy_poll import BusyPoll

from onward.address import check_privacy
from onward.app import App, functions_in, manifests
from onward.checkpoint import Checkpoint, CheckpointOption, worker_checkpoint
from onward.config import check_labels, option_ms
from onward.connection.conversation import Profile
from onward.connection.dialer import Dialer
from onward.connection.link import Dial
from onward.connection.packing import choose_packing
from onward.daemon import Daemon, Health, State
from onward.durations import Duration
from onward.errors import ConfigError
from onward.function import Function
from onward.ids import new_id
from onward.lifecycle import LIFESPAN_NOTE, MIDDLEWARE_NOTE, Blamed, started
from onward.settings import Settings
from onward.watch import Watch

SLOTS_MAX = 10_000
ANSWER_US_MAX = 1_000  # an engine near by, with a quick disk; of what takes longer, waking up is a small part

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]


class Worker:
    """Runs the functions of an App, a Function, a module, or a list of these.

    It dials out to the engine at `url` and takes at most `concurrency` runs at a time; runs that only wait take no
    place. `token` may be a function that is asked at each connect. `settings` go before what the App and the
    environment say, such as `Settings.read(ca_file="ca.pem")`. A parked run stays in memory for `park_ttl`; `stop`
    gives running steps `drain_timeout` to finish. After about `connection_age` the next connection is opened and this
    one left, before something on the way ends it. Without TLS it talks to this machine only, unless `insecure`.

    With `busy_poll` it stays awake, for a millisecond at most, while a lone run does nothing but wait for a result to
    be stored: that takes a fifth off a step, and a processor meanwhile. `worker run` does so where there are two of
    them; in a process with other work it is yours to say. See docs/checkpointing.md.

    `checkpoint`, or without it the variable ONWARD_CHECKPOINT, replaces what the Apps are set to; a function that has a
    setting of its own keeps it. Both take text, such as "blended" or "pipelined,max_runtime=5m".

    Either `await worker.run()`, or `async with Worker(app):` around whatever else the process does. It installs no
    signal handlers and opens no port.
    """

    def __init__(
        self,
        app: object,
        *,
        url: str | None = None,
        token: str | Callable[[], str] | None = None,
        concurrency: int = 100,
        labels: Mapping[str, str] | None = None,
        checkpoint: CheckpointOption | None = None,
        park_ttl: Duration = "10m",
        drain_timeout: Duration = "25s",
        connection_age: Duration = "1h",
        busy_poll: bool = False,
        insecure: bool = False,
        settings: Settings | None = None,
        dial: Dial | None = None,
    ) -> None:
        if concurrency not in range(1, SLOTS_MAX + 1):
            raise ConfigError(f"concurrency is 1 to {SLOTS_MAX}, not {concurrency!r}", code="E0105")
        self.functions: Mapping[str, Function[Any, Any]] = functions_in(app)
        if not self.functions:
            raise ConfigError(f"{app!r} has no functions to run", code="E0108")
        settings = (settings or settings_in(app, url)).changed(url=url, token=token if isinstance(token, str) else None)
        check_privacy(settings.url, insecure=insecure, way=settings.way)
        self.settings: Settings = settings
        self.url: str = settings.url
        self.instance: str = new_id("wrk")
        self.checkpoint: Checkpoint | None = worker_checkpoint(checkpoint, os.environ)
        self.token: Callable[[], str] = token if callable(token) else settings.token
        self.watch: Watch | None = None
        """Who is shown that this worker lives; set it before `run`. For a process that watches over this one."""
        self._lifespan = lifespan_of(app, self.functions.values())
        self._park_ttl_ms = option_ms("Worker", "park_ttl", park_ttl)
        self._drain_ms = option_ms("Worker", "drain_timeout", drain_timeout)
        self._connection_age_ms = option_ms("Worker", "connection_age", connection_age)
        self._busy_poll = busy_poll
        self._dial = dial or Dialer(settings.url, self.token, settings.way)
        self._profile = Profile(
            instance=self.instance,
            apps=manifests(self.functions.values()),
            slots=concurrency,
            sdk=version("onward"),
            labels=check_labels("Worker", labels or {}),
            packing=choose_packing(settings.url),
            url=settings.url,
        )
        self._daemon: Daemon | None = None
        self._stopping: bool | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """Where it is in its life. "connecting" after "connected" is an outage: it comes back by itself."""
        return self._daemon.state if self._daemon else "new"

    @property
    def health(self) -> Health:
        """How it is at this moment, for whoever watches over its process."""
        return self._daemon.health if self._daemon else Health()

    async def run(self) -> None:
        """Work until `stop`. Raises `NotConnected` if the engine refuses this worker; outages do not end it."""
        async with AsyncExitStack() as stack:
            lifespan = Blamed(self._lifespan(), LIFESPAN_NOTE) if self._lifespan else nullcontext()
            state = await stack.enter_async_context(lifespan)
            middleware = started(self.functions.values(), self.instance)
            await stack.enter_async_context(Blamed(middleware, MIDDLEWARE_NOTE))
            self._daemon = Daemon(
                self.functions,
                self._profile,
                dial=self._dial,
                uniform=random.SystemRandom().uniform,
                state=state,
                park_ttl_ms=self._park_ttl_ms,
                drain_ms=self._drain_ms,
                checkpoint=self.checkpoint,
                connection_age_ms=self._connection_age_ms,
                busy_poll=_busy_poll() if self._busy_poll else None,
                watch=self.watch,
            )
            if self._stopping is not None:
                self.stop(drain=self._stopping)
            await self._daemon.run()

    def stop(self, *, drain: bool = True) -> None:
        """Ask for the end, and return at once. Without `drain` running steps are given up, and run again elsewhere."""
        self._stopping = drain
        if self._daemon is not None:
            (self._daemon.drain if drain else self._daemon.abandon)()

    async def gone(self) -> None:
        """Return when the engine has heard the last word. `run` may go on a moment, for code that still unwinds."""
        if self._daemon is not None:
            await self._daemon.gone.wait()

    async def __aenter__(self) -> Self:
        """Start in the background; does not wait for the engine."""
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and wait for the end. Raises what `run` raised."""
        assert self._task is not None
        self.stop()
        await self._task


def _busy_poll() -> BusyPoll:
    call_soon = partial(asyncio.get_running_loop().call_soon, context=Context())
    return BusyPoll(ANSWER_US_MAX, clock_us=lambda: time.monotonic_ns() // 1_000, call_soon=call_soon)


def settings_in(app: object, url: str | None = None) -> Settings:
    """Return the App's own settings, or those of the environment; its address is not looked at if there is a `url`."""
    return app.settings if isinstance(app, App) else Settings.read(url=url)


def lifespan_of(app: object, functions: Iterable[Function[Any, Any]]) -> Lifespan | None:
    apps = [*([app] if isinstance(app, App) else []), *(function.app for function in functions)]
    owners = {owner.lifespan: owner for owner in reversed(apps) if owner.lifespan}
    if len(owners) > 1:
        names = ", ".join(sorted(owner.name for owner in owners.values()))
        raise ConfigError(f"several of the Apps have a lifespan: {names}.", code="E0110")
    return next((partial(lifespan, owner) for lifespan, owner in owners.items()), None)

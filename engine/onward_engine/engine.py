"""The engine: all parts wired together, started and stopped in order.

    async with Engine(Settings(dev=True, port=0)) as engine:     # in a test, or inside another program
        print(engine.url)

    serve(Settings())                                            # as a process, until SIGTERM

A part that fails ends the engine. `stop` loses nothing: what was answered is durable, and what was not answered is sent
again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Self, cast

import structlog
from starlette.responses import Response

from .assignments import Assignments
from .auth import Access, is_loopback, read_or_make_token
from .bus import Bus, NullBus
from .catalogue import Catalogue
from .clock import Clock, Ids, MovableClock, RandomBytes, SystemClock, TestClock
from .commit import Committer, Refused
from .connections import Connections
from .control import Control
from .counts import Counts
from .dispatch import Dispatch
from .door import Door
from .doubts import Doubts
from .duties.alarm import Alarm
from .duties.retention import Retention
from .duties.test_time import TestTime
from .duties.timekeeper import Timekeeper
from .endings import Endings
from .followers import Followers
from .gateway import Gateway
from .greeting import Greeter
from .guards import Guards
from .ingest import Ingest
from .listing import Listing
from .loads import Loads
from .missed import report_missed
from .progress import Progress
from .queues import Queues
from .rates import Rates
from .reasons import Reasons
from .routes import Parts
from .settings import Settings
from .sharing import Sharing
from .signals import Signals
from .store.port import Boot, Store, StoreFull
from .timetable import Timetable
from .tls import CannotEncrypt, Certificates
from .web import CannotListen, Web

GOAWAY_RECONNECT_MS = 100

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.engine")


class Engine:
    """One engine on one store. Start it once.

    With `listens` False there is no port: workers come in by `gateway.attach`, requests by `app`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        store: Store | None = None,
        *,
        bus: Bus | None = None,
        clock: Clock | None = None,
        random_bytes: RandomBytes = os.urandom,
        listens: bool = True,
        sock: socket.socket | None = None,
    ) -> None:
        """`store` defaults to SQLite in the settings' folder; `bus` connects the engines of a store that they share.
        `sock` is a bound socket to listen on instead of host and port.
        """
        self.settings = settings or Settings()
        self.store, its_clock, its_bus = (
            (store, _clock(self.settings), NullBus()) if store is not None else _store(self.settings)
        )
        self.clock = clock or its_clock
        self.ids = Ids(self.clock, random_bytes)
        self.committer = Committer(self.store, self.settings)
        self.connections = Connections()
        self.catalogue = Catalogue(self.store)
        self.assignments = Assignments(self.store, self.settings.bounds.journal_page_bytes)
        self.dispatch = Dispatch(
            self.committer, self.connections, self.assignments, self.clock, self.ids, self.settings
        )
        self.ingest = Ingest(self.committer, self.dispatch, self.catalogue, self.clock, self.ids, self.settings)
        self.control = Control(self.committer, self.dispatch, self.store, self.clock, self.ids, self.settings)
        self.signals = Signals(self.committer, self.store, self.clock, self.settings)
        self.endings = Endings(self.committer, self.store)
        self.followers = Followers(self.committer, self.store, self.clock)
        self.timetable = Timetable(self.committer, self.store, self.catalogue, self.clock)
        self.doubts = Doubts(self.committer)
        report_missed(self.committer)
        self.counts = Counts(self.committer)
        self.loads = Loads(self.connections, self.clock, self.ids.replica)
        self.queues = Queues(self.store, self.catalogue, self.loads, self.clock)
        rates = Rates(self.committer, self.clock)
        self.reasons = Reasons(self.store, self.catalogue, self.loads, rates, self.clock, self.settings)
        self.reasons.has_company = self._has_company
        greeter = Greeter(
            committer=self.committer,
            connections=self.connections,
            catalogue=self.catalogue,
            dispatch=self.dispatch,
            clock=self.clock,
            ids=self.ids,
            grace_ms=self.settings.times.grace_ms,
            callback_url=self.settings.public_url,
        )
        self.guards = Guards(self.committer, self.connections, self.dispatch, self.clock, self.settings)
        self.gateway = Gateway(
            committer=self.committer,
            dispatch=self.dispatch,
            progress=Progress(self.committer, self.clock),
            connections=self.connections,
            greeter=greeter,
            guards=self.guards,
            clock=self.clock,
            settings=self.settings,
        )
        self.alarm = Alarm(self.committer, self.clock, self.settings)
        self.retention = Retention(self.committer, self.clock, self.settings, self.ids.replica)
        self._timekeeper = self._make_timekeeper()
        self.test_time = self._make_test_time() if self.settings.test_clock else None
        self.sharing = self._make_sharing(bus or its_bus) if self.store.is_shared else None
        # Last of all listeners: by then everything that this commit has to say is queued.
        self.committer.listen(self.connections.flush)
        self.token: str | None = None
        self.is_token_new = False
        self._listens = listens
        self._sock = sock
        self._web: Web | None = None
        self._app: Door | None = None
        self._is_ready = False
        self._is_started: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store and the port; returns when workers and requests may come. Raises `StoreError` or
        `CannotListen`.
        """
        self._is_started = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(), name="engine")
        await asyncio.wait((self._is_started, self._life), return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            await self._life

    async def stop(self) -> None:
        """Say goodbye to the workers, finish what is being stored, close. May be repeated. Raises what the engine
        failed with.
        """
        self._stopping.set()
        await self.ended()

    async def ended(self) -> None:
        """Return when the engine has stopped. Raises what it failed with, such as `StoreBroken`."""
        if self._life is not None:
            await asyncio.shield(self._life)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        assert self._web is not None, "this engine does not listen"
        return self._web.port

    @property
    def url(self) -> str:
        """Return the address for clients and workers."""
        host = self.settings.host
        scheme = "http" if self.settings.tls_cert is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def place(self) -> str:
        """Return where everything is kept, for people; no secrets."""
        if not self.settings.postgres:
            return str(self.settings.database)
        from .store.postgres.opening import place

        return place(self.settings.postgres)

    @property
    def app(self) -> Door:
        """Return the ASGI application, with its door in front."""
        assert self._app is not None, "the engine is not started"
        return self._app

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            await self.store.open()  # before the token is made: a path that is no database's gets no other file either
            self._app = self._door()
            await self._work()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            self._is_ready = False
            await self.store.close()

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                await self._begin(group)
                await self._stopping.wait()
                await self._leave()
        finally:
            await self._close()

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        await self.committer.start(group)
        try:
            await (self._boot() if self.sharing is None else self.sharing.start(group))
        except Refused as refused:
            raise StoreFull(refused.message) from refused
        await self.catalogue.load()
        if self._timekeeper is not None:
            await self._timekeeper.start(group)
        await self.alarm.start(group)
        if self.settings.retention_ms:
            await self.retention.start(group)
        await self.assignments.start(group)
        self._is_ready = True
        if self._listens:
            await self._listen(group)
        assert self._is_started is not None
        self._is_started.set_result(None)
        _log.info("engine started", url=self.url if self._listens else None, replica=self.ids.replica)

    async def _boot(self) -> None:
        """Take over what the engine before this one has left: on a store for one, it is dead."""
        now_ms = self.clock.wall_ms()
        held = await self.committer.commit(
            Boot(now_ms=now_ms, claimable_at_ms=now_ms + self.settings.times.adoption_ms)
        )
        if held:
            _log.info("runs wait for their workers", runs=held)

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        settings = self.settings
        self._web = Web(self.app, settings.limits, settings.host, settings.port, self._sock, _certificates(settings))
        await self._web.start(group)

    async def _leave(self) -> None:
        _log.info("engine stopping", workers=len(self.connections))
        self._is_ready = False
        if self._web is not None:
            self._web.close_listeners()
        self.gateway.leave(GOAWAY_RECONNECT_MS)
        self.endings.release()
        self.followers.release()
        if self.sharing is not None and self.sharing.has_company:
            await self.gateway.emptied(self.settings.sharing.handover_ms)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self.committer.drained()
        await self._close()
        if self.sharing is not None:
            await self.sharing.stop(self.settings.times.close_ms)
        if self._timekeeper is not None:
            await self._timekeeper.stop()
        await self.alarm.stop()
        await self.retention.stop()
        await self.assignments.stop()
        await self.committer.stop()

    async def _close(self) -> None:
        await self.gateway.close()
        if self._web is not None:
            await self._web.stop()

    def _make_sharing(self, bus: Bus) -> Sharing:
        return Sharing(
            bus=bus,
            replica=self.ids.replica,
            committer=self.committer,
            connections=self.connections,
            catalogue=self.catalogue,
            dispatch=self.dispatch,
            endings=self.endings,
            followers=self.followers,
            gateway=self.gateway,
            loads=self.loads,
            clock=self.clock,
            settings=self.settings,
        )

    def _door(self) -> Door:
        parts = Parts(
            ingest=self.ingest,
            control=self.control,
            signals=self.signals,
            endings=self.endings,
            followers=self.followers,
            catalogue=self.catalogue,
            connections=self.connections,
            listing=Listing(self.store, self.catalogue),
            reasons=self.reasons,
            queues=self.queues,
            store=self.store,
            timetable=self.timetable,
            settings=self.settings,
            is_ready=lambda: self._is_ready,
            metrics=self._metrics,
            advance=self.test_time.advance if self.test_time else None,
            has_company=self._has_company,
        )
        return Door(self._access(), parts, self.gateway)

    def _has_company(self) -> bool:
        """Whether other engines work on the same store."""
        return self.sharing is not None and self.sharing.has_company

    def _make_timekeeper(self) -> Timekeeper | None:
        """Engines that share a store share its clock, and none of them is to move what all of them wait for."""
        is_own = isinstance(self.clock, SystemClock) and not self.settings.test_clock and not self.store.is_shared
        return Timekeeper(self.committer, cast("SystemClock", self.clock), self.settings) if is_own else None

    def _make_test_time(self) -> TestTime:
        assert isinstance(self.clock, MovableClock), "this clock cannot be moved"
        return TestTime(self.committer, self.clock, self.clock, self.alarm, self.retention, self.settings)

    def _metrics(self) -> Response:
        from .metrics import Page

        return Page(self.counts, self.committer, self.connections, self.guards, self.doubts).response()

    def _access(self) -> Access:
        if self.settings.test_clock and self._listens and not is_loopback(self.settings.host):
            raise CannotListen(
                "An engine with a test clock lets its clients move the time, so it does not listen on "
                f"{self.settings.host}: use 127.0.0.1, or start it without --test-clock."
            )
        if not self.settings.dev and self._listens:
            self.token, self.is_token_new = self.settings.token, False
            if not self.token:
                self.token, self.is_token_new = read_or_make_token(self.settings.token_file, self.ids.secret())
            return Access(self.token)
        if self._listens and not is_loopback(self.settings.host):
            raise CannotListen(
                f"A development engine asks nobody for a token, so it does not listen on {self.settings.host}: "
                "use 127.0.0.1, or start it with `worker engine start`."
            )
        return Access(None)


def _certificates(settings: Settings) -> Certificates | None:
    if settings.tls_cert is None:
        if settings.tls_key is not None or settings.tls_client_ca is not None:
            raise CannotListen("A key, or a CA of clients, is of use with a certificate only: add --tls-cert.")
        return None
    try:
        return Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    except CannotEncrypt as error:
        raise CannotListen(str(error)) from error


def serve(settings: Settings, *, started: Callable[[Engine], None] | None = None) -> None:
    """Run an engine in this process until SIGTERM or SIGINT. `started` is called once it can be reached. Raises as
    `Engine.start`, and `StoreBroken` when the disk fails while it runs.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(Engine(settings), started))


async def _serve(engine: Engine, started: Callable[[Engine], None] | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl+C raises instead
            loop.add_signal_handler(number, stop.set)
    await engine.start()
    _keep_what_is_loaded()
    if started is not None:
        started(engine)
    stopped, ended = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(engine.ended())
    await asyncio.wait((stopped, ended), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await engine.stop()
    await ended
    _log.info("engine stopped")


def _keep_what_is_loaded() -> None:
    """Have the garbage collector leave out what was loaded: each time that it looked through all of it, nobody would be
    answered for more than twenty milliseconds.
    """
    gc.collect()
    gc.freeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _store(settings: Settings) -> tuple[Store, Clock, Bus]:
    """Return the store that the settings name, and what goes with it: engines that share a database share its time too,
    and tell each other through it.
    """
    if not settings.postgres:
        return _sqlite(settings), _clock(settings), NullBus()
    from .store.postgres import PostgresBus, PostgresStore

    store = PostgresStore(settings.postgres, limits=settings.limits, times=settings.times)
    return store, store.clock, PostgresBus(settings.postgres)


def _clock(settings: Settings) -> Clock:
    return TestClock() if settings.test_clock else SystemClock()


def _sqlite(settings: Settings) -> Store:
    from .store.sqlite import SqliteStore

    return SqliteStore(settings.database, limits=settings.limits, times=settings.times)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the failure itself: one part failed first, the others only stopped because of it."""
    error = group.exceptions[0]
    return _first(cast("BaseExceptionGroup[BaseException]", error)) if isinstance(error, BaseExceptionGroup) else error

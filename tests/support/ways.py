"""An engine with TLS in this process, and everything that reaches one: a worker, both clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from onward import App, Context, NotConnected, step
from onward.client import Client
from onward.connection.dialer import Dialer
from onward.connection.link import DialFailed
from onward.settings import Settings
from onward.sync_client import SyncClient, SyncRunHandle
from onward.worker import Worker
from onward_engine.engine import Engine
from onward_engine.settings import Settings as EngineSettings

TOKEN = "onw_admin_of_a_secret"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop] | None] = {"asyncio": None, "uvloop": uvloop.new_event_loop}

app = App("way")


@step
async def double(number: int) -> int:
    return 2 * number


@app.function(int)
async def doubled(ctx: Context[int]) -> int:
    return await double(ctx.data)


def played(scene: Coroutine[Any, Any, None], loop: str = "asyncio") -> None:
    """Run something on a loop of one kind."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene)


@asynccontextmanager
async def engine(folder: Path, *, is_tls: bool = True, client_ca: Path | None = None) -> AsyncGenerator[Engine]:
    """An engine whose certificate is `engine.crt` in the folder."""
    files: dict[str, Any] = {"tls_cert": folder / "engine.crt", "tls_key": folder / "engine.key"} if is_tls else {}
    settings = EngineSettings(folder=folder, port=0, token=TOKEN, tls_client_ca=client_ca, **files)
    async with Engine(settings) as running:
        yield running


async def work(settings: Settings) -> None:
    """Let a worker run something for both clients."""
    async with Worker(app, settings=settings, insecure=True) as worker, Client(settings=settings) as client:
        await connected(worker)
        run = await client.start(doubled, 21)
        assert await run.result(timeout="10s") == 42
        assert await asyncio.to_thread(_result, settings, run.id) == 42


async def connected(worker: Worker) -> None:
    """Return when the engine has let the worker in."""
    async with asyncio.timeout(10):
        while worker.state != "connected":  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def failures(settings: Settings) -> list[DialFailed | NotConnected]:
    """Return what a worker's dialer, the client and the blocking one fail with, in this order."""
    asking = (Dialer(settings.url, settings.token, settings.way), lambda: _ask(settings), lambda: _blocked(settings))
    return [await _failure(ask) for ask in asking]


async def _failure(ask: Callable[[], Any]) -> DialFailed | NotConnected:
    try:
        await ask()
    except (DialFailed, NotConnected) as error:
        return error
    raise AssertionError("it was let in")


async def _ask(settings: Settings) -> None:
    async with Client(settings=settings) as client:
        await client.list_workers()


async def _blocked(settings: Settings) -> None:
    with SyncClient(settings=settings) as client:
        await asyncio.to_thread(client.list_workers)


def _result(settings: Settings, run: str) -> Any:
    with SyncClient(settings=settings) as client:
        return SyncRunHandle[Any](client, run).result(timeout="10s")

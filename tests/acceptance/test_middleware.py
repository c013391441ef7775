"""Middleware in real workers and clients: nothing readable is stored, and everything is read again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from onward import App, Client, Context, Middleware, NonRetryable, Retry, StepInfo, SyncContext, step
from onward.middleware import ClaimCheck, Encryption, FileBlobStore, Next, WorkerInfo
from onward.sync_client import SyncRunHandle

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

KEY = b"k" * 32
MIB = 1024 * 1024


class HomeBlobs:
    """Blobs in the folder of the test, which is known when the first one is put."""

    async def put(self, name: str, data: bytes) -> None:
        """Keep it."""
        await self._store.put(name, data)

    async def get(self, name: str) -> bytes:
        """Return it."""
        return await self._store.get(name)

    @property
    def _store(self) -> FileBlobStore:
        return FileBlobStore(Path(os.environ["HOME_OF_TEST"], "blobs"))


class Noting(Middleware):
    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        value = await next()
        note("wrapped", step.run.id, step.id)
        return value

    async def on_worker_start(self, worker: WorkerInfo) -> None:
        note("started", worker.instance)

    async def on_worker_stop(self, worker: WorkerInfo) -> None:
        note("stopped", worker.instance)


functions = App(
    "middleware",
    middleware=[ClaimCheck(HomeBlobs()), Encryption({"2025": KEY}), Noting()],
    retry=Retry(attempts=1),
)


@step
async def whisper(secret: str) -> str:
    return f"the secret is {secret}"


@step
def write(size: int) -> str:
    return "topsecret " * (size // 10)


@functions.function(str)
async def confess(ctx: Context[str]) -> str:
    raise NonRetryable("not here", data={"secret": ctx.data})


@functions.function(str)
async def tell(ctx: Context[str]) -> list[str]:
    secret = await whisper(ctx.data)
    await ctx.step.run("note", noted, f"told {ctx.run_id}")
    await ctx.step.run("gate", stand_at, f"gate-{ctx.run_id}")
    return [secret, await ctx.invoke(repeat, secret)]


@functions.function(str)
def repeat(ctx: SyncContext[str]) -> str:
    return ctx.data.upper()


@functions.function(int)
def bulky(ctx: SyncContext[int]) -> str:
    return write(ctx.data)


@pytest.fixture(autouse=True)
def home(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reads results too."""
    monkeypatch.setenv("HOME_OF_TEST", str(house.home))


def stored(house: House) -> bytes:
    """Return every byte that the engine has on disk, and all blobs."""
    files = [file for pattern in ("onward.db*", "blobs/*/*") for file in house.home.glob(pattern)]
    return b"".join(file.read_bytes() for file in files)


def test_nothing_readable_is_stored_and_a_client_reads_everything(house: House, name: str) -> None:
    run = house.start(tell, f"topsecret {name}")
    house.wait_noted(f"told {run.id}")
    house.replace_worker()
    house.open_gate(f"gate-{run.id}")
    assert house.result(run) == [f"the secret is topsecret {name}", f"THE SECRET IS TOPSECRET {name.upper()}"]
    data = stored(house)
    assert run.id.encode() in data
    assert b"topsecret" not in data.lower()


def test_a_step_is_wrapped_once_although_its_worker_was_killed(house: House, name: str) -> None:
    run = house.start(tell, name)
    house.wait_noted(f"told {run.id}")
    house.replace_worker()
    house.open_gate(f"gate-{run.id}")
    house.result(run)
    assert house.count(f"wrapped {run.id} whisper") == 1


def test_the_data_of_a_failure_comes_to_the_client(house: House, name: str) -> None:
    error = house.failure(house.start(confess, name))
    assert isinstance(error, NonRetryable)
    assert error.data == {"secret": name}


def test_a_mebibyte_does_not_go_through_the_engine(house: House) -> None:
    run = house.start(bulky, 2 * MIB)
    assert len(house.result(run)) == 2 * MIB // 10 * 10
    assert house.view(run.id)["output_bytes"] < 200
    assert list(house.view(run.id)["output"]) == ["$blob"]
    assert b"topsecret" not in stored(house)


async def test_an_asynchronous_client_reads_it_too(house: House, name: str) -> None:
    async with Client(house.url, house.token) as client:
        assert await client.run(repeat, name, timeout=30) == name.upper()


def test_an_input_from_a_program_without_the_key_is_accepted(house: House, name: str) -> None:
    run = house.ask("POST", "/v1/runs", {"function": repeat.id, "input": name})["run"]
    assert house.result(SyncRunHandle(house.client, run, repeat)) == name.upper()


def test_middleware_hears_of_its_workers_start_and_end(house: House) -> None:
    child = house.processes.pop("worker")
    child.terminate()
    house.until(lambda: child.poll() is not None, "the worker has ended")
    house.start_worker()
    started, stopped = house.lines("started "), house.lines("stopped ")
    assert len(started) > len(stopped) >= 1
    assert set(stopped) < set(started)

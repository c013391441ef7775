"""Runs whose payloads are encrypted or kept elsewhere: over crashes, presets, and changes of keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from onward import App, Context, InvokeFailed, Middleware, NonRetryable, RunInfo, StepFailed, step
from onward.middleware import ClaimCheck, Encryption, FileBlobStore, Next, PayloadInfo
from onward.testing import TestEngine

OLD, NEW = b"o" * 32, b"n" * 32
MIB = 1024 * 1024
SECRET = "4242 4242"


@step
async def load(size: int) -> bytes:
    return b"x" * size


@step
async def charge(card: str) -> str:
    return f"charged {card}"


@step
async def decline(card: str) -> None:
    raise NonRetryable("declined", data={"card": card})


def kept_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("*/*"))


def shop(*middleware: Middleware) -> App:
    app = App("shop", middleware=middleware)

    @app.function(str)
    async def bill(ctx: Context[str]) -> str:
        return await charge(ctx.data)

    @app.function(str)
    async def order(ctx: Context[str]) -> list[Any]:
        told: list[Any] = [await charge(ctx.data), await ctx.invoke(bill, ctx.data)]
        try:
            await decline(ctx.data)
        except StepFailed as error:
            told.append(error.data)
        await ctx.sleep("1h")
        return told

    @app.function(int)
    async def copy(ctx: Context[int]) -> bytes:
        return await load(ctx.data)

    @app.function(int)
    async def measure(ctx: Context[int]) -> int:
        try:
            return len(await ctx.invoke(copy, ctx.data))
        except InvokeFailed as error:
            return -error.attempts

    return app


PRESETS = ["safe", "pipelined", "blended", "performant", "off"]


@pytest.mark.parametrize("preset", PRESETS)
async def test_an_encrypted_run_goes_on_after_every_crash(preset: str) -> None:
    app = shop(Encryption({"old": OLD}))
    async with TestEngine(app, crash_everywhere=True, checkpoint=preset) as engine:
        run = await engine.start(app.functions["shop/order"], SECRET)
        await engine.advance("2h")
        assert run.output == [f"charged {SECRET}"] * 2 + [{"card": SECRET}]


async def test_the_engine_never_sees_a_payload() -> None:
    app = shop(Encryption({"old": OLD}))
    async with TestEngine(app) as engine:
        run = await engine.start(app.functions["shop/order"], SECRET)
        await engine.advance("2h")
        store = engine._engine.store
        for one in engine.runs:
            kept = await store.run(one.id)
            page = await store.steps(one.id)
            seen = msgspec.msgpack.encode([kept, page.steps])
            assert SECRET.encode() not in seen
            assert b"$encrypted" in seen
        assert run.status == "completed"


class Rotation(Middleware):
    """Has another set of keys after each crash, as after a deployment."""

    def __init__(self, *deployments: Encryption) -> None:
        self.deployments = list(deployments)

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        if run.replayed and len(self.deployments) > 1:
            self.deployments.pop(0)
        return await next()

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        return await self.deployments[0].encode(payload, info)

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        return await self.deployments[0].decode(payload, info)


async def test_a_run_goes_on_while_its_keys_change() -> None:
    rotation = Rotation(
        Encryption({"old": OLD}),
        Encryption({"old": OLD, "new": NEW}, decrypt_only=["new"]),
        Encryption({"new": NEW, "old": OLD}, decrypt_only=["old"]),
    )
    app = shop(rotation)
    async with TestEngine(app, crash_everywhere=True) as engine:
        run = await engine.start(app.functions["shop/order"], SECRET)
        await engine.advance("2h")
        assert run.output == [f"charged {SECRET}"] * 2 + [{"card": SECRET}]
        assert len(rotation.deployments) == 1


async def test_a_fork_reads_what_its_run_had_recorded_and_a_rerun_its_input() -> None:
    app = shop(Encryption({"old": OLD}))
    async with TestEngine(app) as engine:
        run = await engine.start(app.functions["shop/order"], SECRET)
        await engine.advance("2h")
        fork = await engine.fork(run, "decline@0#0")
        again = await engine.fork(fork, "decline@0#0")
        rerun = await engine.rerun(run)
        await engine.advance("2h")
        assert [one.output for one in (fork, again, rerun)] == [run.output] * 3
        assert (fork.executions["charge@0#0"], rerun.executions["charge@0#0"]) == (0, 1)


async def test_without_the_key_the_run_fails_at_once_and_names_it() -> None:
    app = shop(Rotation(Encryption({"old": OLD}), Encryption({"new": NEW})))
    async with TestEngine(app, crash_after="charge") as engine:
        run = await engine.start(app.functions["shop/order"], SECRET)
        assert run.status == "failed"
        assert "was encrypted with the key 'old'; here are only 'new'" in str(run.error)


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_mebibyte_is_kept_elsewhere_and_comes_back_after_every_crash(preset: str, tmp_path: Path) -> None:
    app = shop(ClaimCheck(FileBlobStore(tmp_path)), Encryption({"old": OLD}))
    async with TestEngine(app, crash_everywhere=True, checkpoint=preset) as engine:
        run = await engine.start(app.functions["shop/measure"], MIB)
        await engine.advance("1h")
        assert run.output == MIB
        kept = [await engine._engine.store.run(one.id) for one in engine.runs]
        assert max(len(one.output) for one in kept if one) < 200
    assert b"xxxx" not in kept_in(tmp_path)


async def test_what_is_kept_elsewhere_may_be_larger_than_the_engine_keeps(tmp_path: Path) -> None:
    size = 5 * MIB
    for middleware, expected in (((), -1), ((ClaimCheck(FileBlobStore(tmp_path)),), size)):
        app = shop(*middleware)
        async with TestEngine(app) as engine:
            run = await engine.start(app.functions["shop/measure"], size)
            assert run.output == expected

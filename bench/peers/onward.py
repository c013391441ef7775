"""Onward, asked what its peers are asked, in the same rounds: what is compared then has the same machine.

Its strict preset, and the functions of its own benchmarks.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ..cluster import WORK as FUNCTIONS
from ..primitives import free_port
from .children import child, listening
from .load import loaded
from .setting import Peer, Running, Setting, Sizes

SIZES = Sizes(steps=2_000, runs=1_000, first_lines=100, fans=20, loads=5)


@asynccontextmanager
async def running(home: Path) -> AsyncGenerator[Running]:
    interpreter, port, token = Path(sys.executable), free_port(), home / "admin.token"
    url, onward = f"http://127.0.0.1:{port}", (interpreter, "-m", "onward")
    settings = {"ONWARD_URL": url, "ONWARD_TOKEN_FILE": str(token)}
    kept = ("--db", home / "onward.db", "--admin-token-file", token)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            child([*onward, "engine", "start", "--port", str(port), *kept], home / "engine.log", environment=settings)
        )
        await listening(engine, port, home / "engine.log")
        worker = await stack.enter_async_context(
            child([*onward, "run", FUNCTIONS], home / "worker.log", environment=settings)
        )
        load = await stack.enter_async_context(loaded(interpreter, "onward_load", [url, str(token)], home))
        facts = await load.facts()
        yield Running(load, {"engine": engine, "worker": worker, "load": load.process}, facts)


PEER = Peer(
    name="Onward",
    packages=(),
    install=lambda: None,
    settings=(
        Setting(
            "SAFE",
            "committed and synced by the engine's SQLite",
            is_default=True,
            is_durable=True,
            sizes=SIZES,
            start=running,
        ),
    ),
    not_measured="other presets: they are in the tables of its own",
)

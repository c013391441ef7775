"""Test durable functions without a server: the real engine and a real worker in the test's own process, with virtual
time.

    async def test_order():
        async with TestEngine(functions, crash_everywhere=True) as engine:
            [run] = await engine.send(OrderPlaced(order))
            await engine.advance("10m")
            assert run.status == "completed"

Needs the engine: `pip install 'onward[engine]'`. This package is the one place where SDK and engine meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onward.testing.engine import TestEngine
    from onward.testing.runs import TestRun
    from onward.testing.shortcuts import ReplayUnsafe, assert_replay_safe, run

__all__ = ["ReplayUnsafe", "TestEngine", "TestRun", "assert_replay_safe", "run"]

_HOMES = {
    "ReplayUnsafe": "shortcuts",
    "TestEngine": "engine",
    "TestRun": "runs",
    "assert_replay_safe": "shortcuts",
    "run": "shortcuts",
}


def __getattr__(name: str) -> object:
    """Load the engine when it is first asked for: pytest imports this package at every start, with or without it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'onward.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"onward.testing.{_HOMES[name]}"), name)

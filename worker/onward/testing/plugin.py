"""The pytest plugin: `onward_engine` is a started `TestEngine` for the app that the marker names.

    @pytest.mark.onward(app=functions, crash_everywhere=True)
    async def test_order(onward_engine): ...

Needs a plugin for asynchronous fixtures, such as pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from onward.testing.engine import TestEngine


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "onward(app, **options): what `onward_engine` runs; options as of onward.testing.TestEngine"
    )


async def _engine_of(request: pytest.FixtureRequest) -> AsyncIterator[TestEngine]:
    from onward.testing.engine import TestEngine

    marker = request.node.get_closest_marker("onward")
    if marker is None or not (marker.args or "app" in marker.kwargs):
        pytest.fail("onward_engine needs @pytest.mark.onward(app=...)", pytrace=False)
    async with TestEngine(*marker.args, **marker.kwargs) as engine:
        yield engine


def _fixture() -> Callable[..., Any]:
    try:
        from pytest_asyncio import fixture
    except ImportError:  # any other plugin that takes asynchronous generator fixtures
        return pytest.fixture
    return fixture


onward_engine: Any = _fixture()(_engine_of, name="onward_engine")

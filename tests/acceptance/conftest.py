"""Each file here is an area. Its functions and its tests stand together: a worker process loads the file's `functions`,
and the tests look at the engine and at what the bodies noted, from outside.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.house import House

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_store: runs on PostgreSQL too, and not only on SQLite")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "house" in metafunc.fixturenames:
        is_sample = metafunc.definition.get_closest_marker("every_store") is not None
        metafunc.parametrize(
            "house", ["sqlite", "postgres"] if is_sample else ["sqlite"], indirect=True, scope="module"
        )


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The engine and the worker of a file, on a store."""
    with ExitStack() as stack:
        is_shared = request.param == "postgres"
        database = stack.enter_context(lent(request.getfixturevalue("postgres"))) if is_shared else ""
        app = f"tests.acceptance.{request.path.stem}:functions"
        house = stack.enter_context(House(tmp_path_factory.mktemp("house"), app=app, database=database))
        house.open_up()
        yield house


@contextmanager
def lent(postgres: PostgresServer) -> Generator[str]:
    """Lend a database of its own for a whole file: what a killed engine had asked for may still go on there."""
    url = asyncio.run(postgres.create_database())
    yield url
    asyncio.run(postgres.drop_database(url))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses; bodies note it."""
    return re.sub(r"\W+", "-", request.node.name)

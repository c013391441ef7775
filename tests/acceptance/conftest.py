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
from tests.acceptance.replicas import Replicas

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_store: runs on PostgreSQL too, and not only on SQLite")
    config.addinivalue_line("markers", "replicas: runs with several engines on PostgreSQL too, and not only on SQLite")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "house" in metafunc.fixturenames:
        first = pytest.param(
            "flows" if metafunc.definition.path.stem.startswith("test_flow_") else "sqlite", id="sqlite"
        )
        marked = {"every_store": "postgres", "replicas": "replicas"}
        more = [kind for mark, kind in marked.items() if metafunc.definition.get_closest_marker(mark) is not None]
        metafunc.parametrize("house", [first, *more], indirect=True, scope="module")


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The engine and the worker of a file, on a store; those for flow control are shared by all files about that."""
    if request.param in {"flows", "replicas"}:
        yield request.getfixturevalue(request.param)
        return
    with ExitStack() as stack:
        is_shared = request.param == "postgres"
        database = stack.enter_context(lent(request.getfixturevalue("postgres"))) if is_shared else ""
        app = f"tests.acceptance.{request.path.stem}:functions"
        house = stack.enter_context(House(tmp_path_factory.mktemp("house"), app=app, database=database))
        house.open_up()
        yield house


@pytest.fixture(scope="session")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One engine and one worker, for the functions of all files about flow control."""
    with House(tmp_path_factory.mktemp("flows"), app="tests.acceptance.flows:functions") as house:
        house.open_up()
        yield house


@pytest.fixture(scope="session")
def replicas(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """The same with three engines and three workers."""
    with ExitStack() as stack:
        database = stack.enter_context(lent(postgres))
        home = tmp_path_factory.mktemp("replicas")
        replicas = stack.enter_context(Replicas(home, app="tests.acceptance.flows:functions", database=database))
        replicas.open_up()
        yield replicas


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

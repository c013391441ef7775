"""How tests are collected. One that takes a `seed` runs for each of `--seeds` seeds: a failed one is in its name."""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests with the garbage collector at rest, and spare it what collecting leaves behind.

    Before 3.11.8 and 3.12.2 Python counts the depth of syntax trees in one place: a finalizer that formats a traceback
    while a test file becomes a tree makes that import fail with a `SystemError`.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, object, object]:
    """The same for a failure, whose report needs syntax trees too."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, what `nohup` starts ignores SIGHUP, and so does all that
    these start; some tests send both.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", signal.SIGINT)
    if signal.getsignal(hangup) is signal.SIG_IGN:
        signal.signal(hangup, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=20, metavar="N", help="how many seeds a simulated test runs with")
    parser.addoption("--only", default="", metavar="FIELD", help="play only this field of a row of the crash matrix")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames and not _names_its_seeds(metafunc):
        seeds: int = metafunc.config.option.seeds
        metafunc.parametrize("seed", range(seeds))


def _names_its_seeds(metafunc: pytest.Metafunc) -> bool:
    return any("seed" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL that runs as long as the session; one for each process of a parallel session."""
    from tests.support.postgres import PostgresServer, why_not

    if reason := why_not():
        pytest.skip(reason)
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def postgres_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """The address of a database with an empty schema."""
    url = await postgres.borrow()
    yield url
    await postgres.give_back(url)

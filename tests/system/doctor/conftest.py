"""An engine with which nothing is wrong, and what a worker needs to be let in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.processes import System


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("engine")) as running:
        running.engine()
        yield running


@pytest.fixture
def token(engine: System) -> dict[str, str]:
    return {"ONWARD_TOKEN": engine.token}

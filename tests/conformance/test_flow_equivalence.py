"""Random programs of flow control: the same runs begin in the same order at the same moments on every store, with one
engine and with several; see `python -m tests.flow` for many of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.flow_mutants import FLOW_MUTANTS, noticed_at
from tests.support.flow_programs import Author
from tests.support.flow_stores import on_postgres, on_sqlite
from tests.support.postgres import PostgresServer


async def test_a_program_goes_as_its_functions_say_and_nobody_is_stuck(seed: int) -> None:
    assert (await Author(seed).write()).problems == []


async def test_sqlite_agrees_with_memory(seed: int, tmp_path: Path) -> None:
    assert await on_sqlite(await Author(seed).write(), tmp_path) == []


@pytest.mark.parametrize("replicas", [1, 3])
async def test_replicas_on_postgresql_agree_with_memory(seed: int, replicas: int, postgres: PostgresServer) -> None:
    assert await on_postgres(await Author(seed).write(), postgres, replicas) == []


@pytest.mark.parametrize("name", FLOW_MUTANTS)
async def test_programs_notice_a_missing_safeguard(name: str) -> None:
    assert await noticed_at(name, range(300)) is not None, FLOW_MUTANTS[name].safeguard

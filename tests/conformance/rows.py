"""Anything with the rows of a store, as an operation may do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from onward_engine.store.port import Op
from onward_engine.store.tables import Tables
from onward_engine.store.work import batch
from onward_engine.store.work.context import Work

from tests.conformance.driver import Driver


class Do(Op[Any], frozen=True):
    """Anything with the rows of a store."""

    what: Callable[[Tables], object]


@pytest.fixture(autouse=True)
def operations(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[Any, Callable[[Work, Any], object]] = {**batch._HANDLERS, Do: _do}
    monkeypatch.setattr(batch, "_HANDLERS", handlers)


def _do(work: Work, op: Do) -> object:
    return op.what(work.tables)


async def do(driver: Driver, *whats: Callable[[Tables], object]) -> list[Any]:
    """Do all this in one transaction."""
    return list(await driver.apply(*(Do(driver.now, what) for what in whats)))


async def do_one(driver: Driver, what: Callable[[Tables], object]) -> Any:
    """Do this in a transaction of its own."""
    return (await do(driver, what))[0]

"""Imports below pytest, which the collector and assertion rewriting must leave alone: see `tests/conftest.py`."""

import gc
from importlib.machinery import SourceFileLoader

import hypothesis

IS_COLLECTOR_ON = gc.isenabled()


def test_no_finalizer_runs_while_test_files_are_imported() -> None:
    assert not IS_COLLECTOR_ON
    assert gc.isenabled()


def test_libraries_are_imported_as_they_are() -> None:
    assert type(hypothesis.__loader__) is SourceFileLoader

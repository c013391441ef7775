"""Promises of an engine that a database may have broken: one statement for each, the same in every store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .statements import statements

CHECKS = statements("onward_engine.store", "check")


def problems(name: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """Return what a check has found, a sentence for each row."""
    return [f"{name.replace('_', ' ')}: {' '.join(row)}".rstrip() for row in rows]

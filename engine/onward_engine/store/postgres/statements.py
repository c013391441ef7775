"""The SQL of this store."""

from __future__ import annotations

from ..statements import statements as _statements


def statements(group: str) -> dict[str, str]:
    """Return the statements of a file by name."""
    return _statements("onward_engine.store.postgres", group)

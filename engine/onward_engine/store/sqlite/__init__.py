"""The embedded store: one SQLite file, one writer, group commit."""

from .store import SqliteStore

__all__ = ["SqliteStore"]

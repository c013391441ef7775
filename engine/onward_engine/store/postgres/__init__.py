"""The store for any number of engines: a PostgreSQL database."""

from .bus import PostgresBus
from .clock import DatabaseClock
from .store import PostgresStore

__all__ = ["DatabaseClock", "PostgresBus", "PostgresStore"]

"""What an error of PostgreSQL means for a batch, for the connection, and for the engine."""

from __future__ import annotations

from enum import Enum

import asyncpg

from ..port import StoreBroken, StoreError, StoreFull


class Fate(Enum):
    """What follows from an error."""

    AGAIN = "the same batch again, unchanged"
    SPLIT = "one of the batch's values cannot be stored"
    FULL = "there is no disk space"
    BROKEN = "neither trying again nor another connection helps"


_OF_CLASS = {
    "22": Fate.SPLIT,
    "23": Fate.SPLIT,
    "54": Fate.SPLIT,  # such as a key that is too long for an index
    "40": Fate.AGAIN,
    "08": Fate.AGAIN,
    "53": Fate.AGAIN,
    "57": Fate.AGAIN,
    "28": Fate.AGAIN,
}
_OF_STATE = {
    "53100": Fate.FULL,
    "57014": Fate.AGAIN,  # a statement took too long
    "55P03": Fate.AGAIN,
    "25006": Fate.AGAIN,  # the server has become a standby: another one is primary now, or soon
    "25P02": Fate.AGAIN,
    "25P03": Fate.AGAIN,  # the server closed a transaction that stood still
    "3D000": Fate.AGAIN,
}

FULL = (
    "the database's server has no disk space left; nothing of this was stored. "
    "Free some space: the engine goes on by itself"
)


def fate(error: BaseException) -> Fate:
    """Say what follows from an error of a statement or of the connection."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return _OF_STATE.get(state) or _OF_CLASS.get(state[:2], Fate.BROKEN)
    if isinstance(error, asyncpg.InterfaceError):
        return Fate.AGAIN if "closed" in str(error) else Fate.BROKEN  # the library has no class for it
    lost = (OSError, TimeoutError, EOFError, asyncpg.InternalClientError)  # the last: asked while its connection ends
    return Fate.AGAIN if isinstance(error, lost) else Fate.BROKEN


def broken(error: BaseException) -> StoreError:
    """Return what ends the engine."""
    if fate(error) is Fate.FULL:
        return StoreFull(FULL)
    return StoreBroken(
        f"the database cannot be used any more: {describe(error)}. Nothing is acknowledged from now on. "
        "Look at the server's log, then start the engine again: it goes on with what is really stored"
    )


def describe(error: BaseException) -> str:
    """Return the server's own words, in one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    state = getattr(error, "sqlstate", None)
    return f"{words} ({state})" if state else words

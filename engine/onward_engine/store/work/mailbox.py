"""Signals that a run does not wait for yet: kept in the order in which they came.

An item for each, named by its number and what the signal is called.
"""

from __future__ import annotations

from ...model import Item, Run
from ..port import SIGNALS_MAX
from .context import Work

KIND = "signal"
_DIGITS = 10


def keep(work: Work, run: Run, name: str, value: bytes) -> bool:
    """Keep a signal for the run's next wait for this name; False if there are too many, or too much of them."""
    kept = work.tables.items(KIND, run.id)
    room = work.limits.state_bytes_max - run.state_bytes - sum(len(item.body) for item in kept)
    if len(kept) >= SIGNALS_MAX or len(value) > room:
        return False
    number = int(kept[-1].name[:_DIGITS]) + 1 if kept else 0
    work.tables.put_item(Item(KIND, run.id, f"{number:0{_DIGITS}d}:{name}", None, value))
    return True


def take(work: Work, run: Run, name: str) -> bytes | None:
    """Remove and return the first kept signal of this name."""
    for item in work.tables.items(KIND, run.id):
        if item.name[_DIGITS + 1 :] == name:
            work.tables.drop_item(KIND, run.id, item.name)
            return item.body
    return None

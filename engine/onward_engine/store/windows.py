"""Where a database begins to look for a page: the rows of one index, newest first, of which all others are left out
that a filter does not want.
"""

from __future__ import annotations

from typing import Literal

from ..model import TERMINAL, Status
from .port import EventFilter, RunFilter

Window = Literal["ids", "prefix", "tag", "live", "badly", "function", "ended", "all"]

PREFIX_CHARS_MIN = 12
"""A shorter beginning of an id is that of too many: they are sorted before the first is returned. This one is that of
less than two days.
"""

PREFIX_END = "\x7f"
"""Behind every character of an id."""

_BADLY = frozenset({Status.FAILED, Status.CANCELLED, Status.SKIPPED})


def window_of(wanted: RunFilter) -> Window:
    """Return the index that leaves the fewest rows."""
    if wanted.ids is not None:
        return "ids"
    if len(wanted.prefix) >= PREFIX_CHARS_MIN:
        return "prefix"
    if wanted.tags:
        return "tag"
    window = _window_of_status(wanted)
    return "function" if wanted.function and window in {"ended", "all"} else window


def _window_of_status(wanted: RunFilter) -> Window:
    if wanted.status and not TERMINAL.intersection(wanted.status):
        return "live"
    if len(wanted.status) == 1 and wanted.status[0] in _BADLY:
        return "badly"
    has_ended = wanted.ended_from_ms is not None or wanted.ended_until_ms is not None
    return "ended" if has_ended or (wanted.status and TERMINAL.issuperset(wanted.status)) else "all"


def event_window_of(wanted: EventFilter) -> Literal["named", "all"]:
    """Return the index that leaves the fewest rows."""
    return "named" if wanted.name else "all"

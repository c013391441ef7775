"""One answer for a batch that was done in pieces."""

from __future__ import annotations

from typing import Any

from ..port import Committed, Notices


def joined(*pieces: Committed) -> Committed:
    """Return what the pieces say together; the last one knows what is due next."""
    notices = Notices()
    for piece in pieces:
        for name in Notices.__struct_fields__:
            setattr(notices, name, _both(name, getattr(notices, name), getattr(piece.notices, name)))
    return Committed(tuple(outcome for piece in pieces for outcome in piece.outcomes), notices)


def _both(name: str, before: Any, after: Any) -> object:
    match name:
        case "next_due_at_ms":
            return after
        case "queued" | "written" | "left" | "registered":  # sets, and a bool
            return before | after
        case _:
            return before + after

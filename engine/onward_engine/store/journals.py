"""A run's journal as rows in the order stored, and pages of them: for its worker, and for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from onward_protocol.codec import decode_engine_entries, decode_entries

from ..rules.history import History
from .port import JOURNAL_PAGE_BYTES, JournalPage, StepPage


class JournalRow(NamedTuple):
    """A frame, or an engine entry with epoch 0 and its pos as `seq`. Places grow in the order stored."""

    place: int
    epoch: int
    seq: int
    data: bytes


def page_of(rows: Iterable[JournalRow], limit_bytes: int) -> JournalPage:
    """Return as many of the rows as fit, the first one at any rate. Takes at most one row more from `rows`."""
    segments: list[tuple[int, int, bytes]] = []
    entries: list[bytes] = []
    last, size = None, 0
    for place, epoch, seq, data in rows:
        size += len(data)
        if last is not None and size > limit_bytes:
            return JournalPage(tuple(segments), tuple(entries), last)
        last = place
        if epoch:
            segments.append((epoch, seq, data))
        else:
            entries.append(data)
    return JournalPage(tuple(segments), tuple(entries))


def steps_of(rows: Iterable[JournalRow], limit: int, after: int) -> StepPage:
    """Return the lines of as many rows as make `limit` lines, or a page of a journal: the outputs stand in the lines.

    The rows are those behind the place `after`. Takes one row more from them.
    """
    history = History()
    last, size = after, 0
    for place, epoch, _, data in rows:
        if len(history) >= limit or size >= JOURNAL_PAGE_BYTES:
            return StepPage(history.lines, last, last)
        last, size = place, size + len(data)
        if epoch:
            history.note_frame(decode_entries(data))
        else:
            history.note_ends(decode_engine_entries(data))
    return StepPage(history.lines, None, last)

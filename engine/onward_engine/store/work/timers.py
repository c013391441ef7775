"""What happens because time has passed."""

from __future__ import annotations

from ..port import FireTimers
from ..tables import CLEANUP_KEY, OpenWait
from . import endings, offers, waits
from .context import Work

_FORGET_MAX = 200  # expired answers deleted at a time, so that no transaction grows with what has piled up


def fire_timers(work: Work, op: FireTimers) -> int:
    """Fire what is due, oldest first, and make claimable what has waited long enough."""
    due = work.tables.waits_due(op.now_ms, op.limit)
    fired = sum(_fire(work, wait) for wait in due)
    offers.open_due(work, op.limit)
    work.tables.forget_answers(op.now_ms, _FORGET_MAX)
    return fired


def _fire(work: Work, wait: OpenWait) -> bool:
    if work.tables.wait(wait.ord, wait.key) is None:  # an earlier one of this batch has ended it
        return False
    if wait.key == CLEANUP_KEY:
        run = work.tables.run_at(wait.ord)
        work.fence(run, "its time to clean up is over")
        endings.cancel(work, run, run.cancel_reason or "")
    else:
        waits.time_out(work, wait)
    return True

"""What happens because time has passed."""

from __future__ import annotations

from collections.abc import Callable

from onward_protocol.messages import Sleep

from ...model import Item, Run
from ...rules import watches
from ...rules.flow.entry import BATCH, DEBOUNCE, IDEMPOTENCY, RATE
from .. import delayed, planned
from ..port import FireTimers
from ..tables import OpenWait
from . import cancel, endings, gates, gathering, ingest, limits, offers, schedules, throttles, waits
from .context import Work

_FORGET_MAX = 200  # expired answers deleted at a time, so that no transaction grows with what has piled up

_RIPE: dict[str, Callable[[Work, Item], None]] = {
    delayed.KIND: ingest.release,
    planned.KIND: schedules.fire,
    throttles.KIND: offers.pass_throttle,
    offers.LINE: offers.go_on,
    limits.KIND: limits.go_along,
    DEBOUNCE: gathering.ripen,
    BATCH: gathering.ripen,
    IDEMPOTENCY: gates.forget,
    RATE: gates.forget,
}
"""What becomes of an item that is due, by its kind."""


def fire_timers(work: Work, op: FireTimers) -> int:
    """Fire what is due, oldest first, and make claimable what has waited long enough."""
    due = work.tables.waits_due(op.now_ms, op.limit)
    fired = sum(_fire(work, wait) for wait in due)
    for item in (ripe := work.tables.items_due(op.now_ms, op.limit)):
        if work.tables.item(item.kind, item.owner, item.name) == item:  # nothing before it has changed it
            _RIPE[item.kind](work, item)
    offers.open_due(work, op.limit)
    work.tables.forget_answers(op.now_ms, _FORGET_MAX)
    return fired + len(ripe)


def _fire(work: Work, wait: OpenWait) -> bool:
    if work.tables.wait(wait.ord, wait.key) is None:  # an earlier one of this batch has ended it
        return False
    if watches.is_reserved(wait.key):
        _fire_watch(work, wait, work.tables.run_at(wait.ord))
    else:
        waits.time_out(work, wait)
    return True


def _fire_watch(work: Work, wait: OpenWait, run: Run) -> None:
    work.tables.drop_wait(wait.ord, wait.key)
    limit_ms = wait.wait.ms if isinstance(wait.wait, Sleep) else 0
    match wait.key:
        case watches.CLEANUP_KEY:
            work.fence(run, "its time to clean up is over")
            endings.cancel(work, run, run.cancel_reason or "")
        case watches.START_KEY if not run.started_at_ms:
            cancel.cancel(work, run, watches.late_start(limit_ms), 0)
        case watches.FINISH_KEY:
            cancel.cancel(work, run, watches.late_finish(limit_ms), cancel.CLEANUP_MS)
        case _:
            pass  # a rule that counts no longer

"""Duties that one replica at a time has, under a lease that it renews."""

from __future__ import annotations

from ..port import HoldDuty
from ..tables import Duty
from .context import Work


def hold_duty(work: Work, op: HoldDuty) -> int:
    """Give a duty to whoever has it already, or to anybody once its time is over."""
    held = work.tables.duty(op.duty)
    if held and held.replica != op.replica and held.until_ms > op.now_ms:
        return 0
    is_kept = held is not None and held.replica == op.replica
    epoch = (held.epoch if held else 0) + (0 if is_kept else 1)
    work.tables.put_duty(Duty(op.duty, op.replica, epoch, op.until_ms))
    return epoch

"""Ticks that nobody fired in time, told in the log: somebody may have relied on them."""

from __future__ import annotations

import structlog

from .commit import Committer
from .store.port import Notices

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.schedules")


def report_missed(committer: Committer) -> None:
    """Tell of every commit that fires ticks too late, or gives some up."""
    committer.listen(_committed)


def _committed(notices: Notices) -> None:
    for missed in notices.missed:
        _log.warning("ticks missed", function=missed.function, given_up=missed.given_up, made_up_for=missed.late)

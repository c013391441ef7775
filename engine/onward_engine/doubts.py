"""Conditions that could not be evaluated on an event: counted by function, and told in the log.

Such a condition counts as false, so its function is not started, or its run waits on; whoever wrote it must hear of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import structlog

from .commit import Committer
from .store.port import Notices

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.conditions")


class Doubts:
    """The counts since this engine started."""

    def __init__(self, committer: Committer) -> None:
        self._counts: Counter[str] = Counter()
        committer.listen(self._committed)

    @property
    def counts(self) -> Mapping[str, int]:
        """How often, by function."""
        return MappingProxyType(self._counts)

    def _committed(self, notices: Notices) -> None:
        for unclear in notices.unclear:
            self._counts[unclear.function] += 1
            times = self._counts[unclear.function]
            if times.bit_count() == 1:  # the 1st, 2nd, 4th ... time: thousands of events a second meet one mistake
                _log.warning(
                    "condition not evaluated",
                    function=unclear.function,
                    run=unclear.run or None,
                    event_id=unclear.event,
                    reason=unclear.reason,
                    times=times,
                )

"""Runs that would wait for themselves: for a place that a run which waits for them keeps until its own end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...model import Flow, Run
from ...rules.flow.limits import limit_now
from .context import Work


def own_circle(work: Work, child: Run) -> Flow | None:
    """Return the limit under which a child can never begin, because those that wait for it have all places."""
    if not child.flow:
        return None
    kept = Counter(flow.key for caller in _callers(work, child) for flow in caller.flow if flow.is_whole)
    catalog = work.tables.catalog()
    for flow in child.flow:
        limit = limit_now(catalog, child.function, flow)
        if limit is not None and not flow.is_throttle and kept[flow.key] >= limit:
            return flow
    return None


def _callers(work: Work, run: Run) -> Iterator[Run]:
    """Go through the runs that wait for this one, and for each other."""
    while run.parent and run.parent_key:
        caller = work.tables.run(run.parent)
        if caller is None:
            return
        yield caller
        run = caller

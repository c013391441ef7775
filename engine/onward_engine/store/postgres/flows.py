"""What the limits of a run need: the keys of all of them, and what a throttle keeps.

Pure. All that belongs to a key is locked by the key alone. Keys are locked before runs, so that those of whoever may be
let in or claimed have to be known before: they are looked up in front of all locks, and whatever has changed since is
found out when the batch is done.
"""

from __future__ import annotations

from collections.abc import Iterable

from onward_protocol.messages import FunctionManifest

from ...model import Flow, Run
from ...rules.flow import keys
from ...rules.triggers import Catalog
from .needs import Need, Needs

OFFERS = 64
"""So many places more than a limit has are read of those that are offered: better ones may have come later."""

FRONT = 6
"""So many of each function in a line are looked up: some find no room under another limit, and go on to its line."""

OFFERS_AGAIN = 16
"""So many where only those count that have begun before."""


def want(needs: Needs, run: Run, catalog: Catalog, more: int = 0) -> None:
    """Want what is known of the keys of a run's limits; with `more`, that many in each line beside who was wanted."""
    want_flows(needs, run.flow, catalog.functions.get(run.function), more)


def want_flows(needs: Needs, flows: Iterable[Flow], function: FunctionManifest | None, more: int = 0) -> None:
    """Want what is known of the keys of these limits, under which runs of a function are."""
    for flow in flows:
        needs.want("key", flow.key, max(1, needs.get(Need("key", flow.key), 0)) + more)
        if function is not None:
            has_order = bool(function.priority or function.fair)
            needs.want("offers", (flow.key, function.id), flow.limit + OFFERS if has_order else OFFERS_AGAIN)
        if flow.is_throttle:
            needs.want("keep", (keys.THROTTLE, flow.key))
            needs.want("item", (keys.THROTTLE, flow.key, ""))


def want_fronts(needs: Needs, run: Run) -> None:
    """Want to know who is let in when a run gives its places back, where these may have other limits beside."""
    if len(run.flow) > 1 or any(flow.is_shared for flow in run.flow):
        for flow in run.flow:
            needs.want("front", flow.key, max(FRONT, needs.get(Need("key", flow.key), 0)))


def want_claimed(needs: Needs, function: FunctionManifest, limit: int) -> None:
    """Want what a claim takes beside runs: places that were only offered, and turns under throttles."""
    if not (function.concurrency or function.singleton or function.throttle):
        return
    unkeyed = keys.unkeyed_flows(function)
    want_flows(needs, unkeyed, function)
    for flow in unkeyed:
        needs.want("front", flow.key, 1)
    needs.want("ahead", function.id, needs.get(Need("ahead", function.id), 0) + limit)

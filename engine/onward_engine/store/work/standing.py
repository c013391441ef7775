"""Where a new run stands: under which limits, and at which place among those that wait."""

from __future__ import annotations

from msgspec import Struct
from onward_protocol.messages import FunctionManifest

from ...model import Flow
from ...rules.conditions import Document
from ...rules.expressions import ExpressionError
from ...rules.flow import keys, ranks
from .context import Work


class Standing(Struct, frozen=True, gc=False):
    """The limits of a run, its rank, and the value of its function's `fair` key."""

    flow: tuple[Flow, ...] = ()
    rank: int = ranks.NEW
    fair_key: str = ""


_PLAIN = Standing()


def has_options(function: FunctionManifest) -> bool:
    """Tell whether the event of a run has to be looked at."""
    return bool(function.concurrency or function.throttle or function.singleton or function.priority or function.fair)


def of(work: Work, function: FunctionManifest, document: Document) -> Standing:
    """Return where a run stands that comes now. Raises `ExpressionError`."""
    if not has_options(function):
        return _PLAIN
    flow = keys.flows_of(function, document)
    if function.fair is None:
        return Standing(flow, ranks.priority_rank(function, document, work.now_ms))
    return _in_turn(work, function, flow, ranks.share_of(function.fair, document))


def anyhow(work: Work, function: FunctionManifest, document: Document) -> tuple[Standing, str]:
    """Return the same for a run that has to start, and what could not be read of it."""
    try:
        return of(work, function, document), ""
    except ExpressionError as error:
        flow = keys.flows_of(function, None)
        share = ranks.Share("?", 1.0)
        return (_in_turn(work, function, flow, share) if function.fair else Standing(flow)), str(error)


def _in_turn(work: Work, function: FunctionManifest, flow: tuple[Flow, ...], share: ranks.Share) -> Standing:
    first = work.tables.first_rank(function.id)
    last = work.tables.last_rank(function.id, share.key)
    return Standing(flow, ranks.fair_rank(share, first, last), share.key)

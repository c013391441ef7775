"""What the handlers of the routes may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from ..catalogue import Catalogue
from ..connections import Connections
from ..control import Control
from ..endings import Endings
from ..followers import Followers
from ..ingest import Ingest
from ..listing import Listing
from ..queues import Queues
from ..reasons import Reasons
from ..settings import Settings
from ..signals import Signals
from ..store.port import Store
from ..timetable import Timetable


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one engine. `is_ready` says whether it takes work now, `metrics` makes the page of its metrics,
    `advance` moves the clock of a test engine by so many milliseconds, `has_company` says whether others share its
    store.
    """

    ingest: Ingest
    control: Control
    signals: Signals
    endings: Endings
    followers: Followers
    catalogue: Catalogue
    connections: Connections
    listing: Listing
    reasons: Reasons
    queues: Queues
    store: Store
    timetable: Timetable
    settings: Settings
    is_ready: Callable[[], bool]
    metrics: Callable[[], Response]
    advance: Callable[[int], Awaitable[int]] | None = None
    has_company: Callable[[], bool] = lambda: False

"""What the functions of a simulation are limited by."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from onward import Concurrency, Fair, Priority, Throttle


class Controls(Struct, frozen=True):
    """Options of the functions `told` and `aside`. A limit of whole runs is only for asides: they call nobody, and a
    parent that keeps its place while it waits for a child under the same limit would wait for ever.
    """

    told: Sequence[Concurrency] = ()
    aside: Sequence[Concurrency] = ()
    throttle: Throttle | None = None
    priority: Priority | None = None
    fair: Fair | None = None


NONE = Controls()
PER_TALE = Concurrency(1, key="event.data.tale")

ONE = Controls((Concurrency(1),))
TWO = Controls((Concurrency(2),))
SHARED = Controls((Concurrency(2, scope="environment"),), (Concurrency(2, scope="environment"),))
WHOLE = Controls((), (Concurrency(1, of="run"),))
NESTED = Controls((PER_TALE, Concurrency(2, scope="app")), (Concurrency(1, scope="app"),))
THROTTLED = Controls(throttle=Throttle(4, "1s", burst=2))
THROTTLED_ONE = Controls((Concurrency(1),), throttle=Throttle(5, "1s"))
RANKED = Controls((Concurrency(1),), priority=Priority("size(event.data.plan) * 3"))
FAIR = Controls((Concurrency(2, scope="app"),), fair=Fair("event.data.tale"))

ALL = (NONE, ONE, TWO, SHARED, WHOLE, NESTED, THROTTLED, THROTTLED_ONE, RANKED, FAIR)
"""The first one is drawn as often as all others."""

WEIGHTS = (len(ALL) - 1, *(1,) * (len(ALL) - 1))

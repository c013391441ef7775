"""What a store tells of its queue, for people: plain values, each from one short reading."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

State = Literal["ready", "later", "limited", "held", "gathering"]
"""Where a queued run is: it may be claimed; it may be from a moment on; it waits for a limit; somebody has paused it;
it waits for more events.
"""

STATES: tuple[State, ...] = ("ready", "later", "limited", "held", "gathering")
"""In the order of the numbers that a store has for them."""

AHEAD_MAX = 10_000
"""So many runs that stand before another one are counted."""

COUNTED_MAX = 100_000
"""So many runs of a function are counted in each state: about ten milliseconds."""

WAITS_MAX = 100
"""So many waits of a parked run are looked at."""


class Queued(Struct, frozen=True):
    """A run's row in the queue. `ahead` runs of its function stand before it, in the same line if it stands in one: at
    most as many as were asked for are counted. `due_at_ms` of a ready one is since when it is.
    """

    state: State
    rank: int
    due_at_ms: int = 0
    flow_key: str = ""
    ahead: int = 0


class Holders(Struct, frozen=True):
    """Who has the places of a key: how many have one, and the first of these. To `offered` runs one is offered that
    nobody has claimed yet.
    """

    taken: int = 0
    offered: int = 0
    runs: tuple[str, ...] = ()


class Line(Struct, frozen=True):
    """The runs of a function that wait for a key, or whose turn is that of a key: how many there are, `AHEAD_MAX` at
    most.
    """

    key: str
    waiting: int


class Backlog(Struct, frozen=True):
    """How many runs of a function are in a state, `COUNTED_MAX` at most, and since when the one waits that was accepted
    first: since it may be claimed if it is ready, since it was made otherwise.
    """

    state: State
    runs: int
    oldest_at_ms: int


AwaitedKind = Literal["sleep", "event", "signal", "callback", "invoke"]


class Awaited(Struct, frozen=True):
    """What a parked run waits for. `about` is the event, the signal, the function or the child run; `due_at_ms` None:
    no time ends it.
    """

    key: str
    kind: AwaitedKind
    about: str = ""
    due_at_ms: int | None = None

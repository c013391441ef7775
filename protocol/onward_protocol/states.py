"""The life of a connection: one table for both ends.

A phase only ever grows. Each end keeps its own phase and moves it by what it sends and by what it receives. Frames
cross on the wire, so that one may still arrive in a phase in which its sender, had it known, could not have sent it:
those are listed apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from onward_protocol.messages import EngineFrame, Wake, WorkerFrame


class Phase(IntEnum):
    """How far a connection has come."""

    NEW = 0
    GREETED = 1
    OPEN = 2
    DRAINING = 3
    MOVING = 4
    CLOSED = 5


SLOT_WAKE = "Wake+slot"
"""A Wake that takes a slot: for a draining connection a different thing than one that only brings entries."""

_WORK = ("Checkpoint", "Beat", "Return", "Stream", "Log")
_CARE = ("Ack", "BeatAck", "Wake", "Cancel", "Fence", "Journal", "Halt")
_GIVE = ("Assign", SLOT_WAKE)

WORKER_KINDS = frozenset({*_WORK, "Hello", "Drain", "Bye"})
ENGINE_KINDS = frozenset({*_CARE, *_GIVE, "Welcome", "Refuse", "GoAway"})
GUARD_KINDS = frozenset({"Hello", "Welcome", "Refuse", "Beat", "BeatAck", "GoAway", "Bye"})
"""All that a guard connection carries: it keeps a lease and takes no runs."""


def _staying(phase: Phase, *kinds: str) -> dict[str, Phase]:
    return dict.fromkeys(kinds, phase)


MOVES: dict[Phase, dict[str, Phase]] = {
    Phase.NEW: {"Hello": Phase.GREETED},
    Phase.GREETED: {"Welcome": Phase.OPEN, "Refuse": Phase.CLOSED},
    Phase.OPEN: {
        **_staying(Phase.OPEN, *_WORK, *_CARE, *_GIVE),
        "Drain": Phase.DRAINING,
        "GoAway": Phase.MOVING,
        "Bye": Phase.CLOSED,
    },
    Phase.DRAINING: {
        **_staying(Phase.DRAINING, *_WORK, *_CARE, "Drain"),
        "GoAway": Phase.MOVING,
        "Bye": Phase.CLOSED,
    },
    Phase.MOVING: {
        **_staying(Phase.MOVING, *_WORK, *_CARE, "Drain"),
        "Bye": Phase.CLOSED,
    },
    Phase.CLOSED: {},
}
"""For each phase: the frames that may be sent in it, and the phase after."""

CROSSING: dict[Phase, frozenset[str]] = {
    Phase.DRAINING: frozenset(_GIVE),  # sent before the Drain arrived: answered with Return
    Phase.CLOSED: frozenset({*_CARE, *_GIVE, "GoAway"}),  # sent before the Bye arrived: nobody is left to use them
}
"""What a worker may still receive, although the engine must not send it any more. The phase stays."""


def kind_of(frame: WorkerFrame | EngineFrame) -> str:
    """Return the name under which a frame stands in the table."""
    return SLOT_WAKE if type(frame) is Wake and frame.slot else type(frame).__name__


def after_sending(phase: Phase, kind: str) -> Phase | None:
    """Return the phase after sending a frame; None if it must not be sent."""
    return MOVES[phase].get(kind)


def after_receiving(phase: Phase, kind: str) -> Phase | None:
    """Return the phase after receiving a frame; None if the peer must not have sent it."""
    after = MOVES[phase].get(kind)
    return phase if after is None and kind in CROSSING.get(phase, ()) else after


def render_diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> NEW"]
    lines += [f"    {phase.name} --> {after.name}: {_sender(kind)} {kind}" for phase, kind, after in _steps()]
    lines.append("    CLOSED --> [*]")
    return "\n".join(lines)


def render_table() -> str:
    """Return the table as Markdown: who may send what in which phase, and what may cross."""
    lines = ["| phase | worker may send | engine may send | may still arrive at the worker |", "|---|---|---|---|"]
    for phase, moves in MOVES.items():
        crossing = CROSSING.get(phase, frozenset())
        cells = (_listed(moves, WORKER_KINDS), _listed(moves, ENGINE_KINDS), _listed(crossing, ENGINE_KINDS))
        lines.append(f"| {phase.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _steps() -> Iterator[tuple[Phase, str, Phase]]:
    for phase, moves in MOVES.items():
        for kind, after in moves.items():
            if after is not phase:
                yield phase, kind, after


def _sender(kind: str) -> str:
    return "worker" if kind in WORKER_KINDS else "engine"


def _listed(kinds: dict[str, Phase] | frozenset[str], side: frozenset[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in sorted(kinds) if kind in side) or "nothing"

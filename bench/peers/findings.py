"""What was found out about the peers, as an answer like that of every other benchmark; and Onward's bars beside
Restate, durable, with the event loop that Onward uses and the web server that Restate's documentation uses.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import report
from ..lab import medians
from ..report import Answer, Figure
from ..work import STEPS, fanned, mixed_often
from .rounds import WIDTH, Round, figures
from .setting import Peer, Setting, Sizes

OURS, RIVAL = "Onward, SAFE", "restate, Hypercorn uvloop"
STEP_MAX = 0.45
THROUGHPUT_MIN = 6


@dataclass(frozen=True)
class Asked:
    """A peer in a setting, and what it answered so far."""

    peer: Peer
    setting: Setting
    sizes: Sizes
    facts: dict[str, object] = field(default_factory=dict[str, object])
    rounds: dict[int, Round] = field(default_factory=dict[int, Round])
    """By their numbers, from 0; what failed is not there."""

    @property
    def name(self) -> str:
        return f"{self.peer.name}, {self.setting.name}"

    def described(self) -> dict[str, Any]:
        return {
            "is_default": self.setting.is_default,
            "is_durable": self.setting.is_durable,
            "finished_steps_are": self.setting.keeps,
            "facts": self.facts,
            "sizes": asdict(self.sizes),
            "rounds": [{"round": number + 1, **described(one)} for number, one in self.rounds.items()],
        }


def described(one: Round) -> dict[str, Any]:
    """A round without its many first lines, of which the figures are made."""
    return {name: value for name, value in asdict(one).items() if name != "first_lines_ms"}


def answer(asked: list[Asked], unavailable: dict[str, str]) -> Answer:
    machine = [one.machine for each in asked for one in each.rounds.values()]
    peers = {one.peer.name: one.peer for one in asked}
    return Answer(
        figures=(
            *(figure for one in asked for figure in figures(one.name, list(one.rounds.values()))),
            *compared(asked),
        ),
        primitives=medians(machine) if machine else {},
        checksum=report.checksum([mixed_often(0, STEPS), fanned(WIDTH)]),
        details={
            "versions": {name: peer.packages for name, peer in peers.items()},
            "settings": {one.name: one.described() for one in asked},
            "unavailable": unavailable,
            "not_measured": {name: peer.not_measured for name, peer in peers.items()},
        },
    )


def compared(asked: list[Asked]) -> list[Figure]:
    """Onward against its rival, in each round that both have answered; nothing if there is none."""
    rounds = {one.name: one.rounds for one in asked}
    ours, theirs = rounds.get(OURS, {}), rounds.get(RIVAL, {})
    pairs = [(ours[number], theirs[number]) for number in ours.keys() & theirs.keys()]
    if not pairs:
        return []
    step = statistics.median(one.step_us / other.step_us for one, other in pairs)
    per_s = statistics.median(one.steps_per_s / other.steps_per_s for one, other in pairs)
    return [
        Figure(f"{OURS} / {RIVAL}: step p50", step, "x", at_most=STEP_MAX),
        Figure(f"{OURS} / {RIVAL}: throughput", per_s, "x", at_least=THROUGHPUT_MIN),
    ]

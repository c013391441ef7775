"""What was found out about the peers, as an answer like that of every other benchmark."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .. import report
from ..lab import medians
from ..report import Answer
from ..work import STEPS, fanned, mixed_often
from .rounds import WIDTH, Round, figures
from .setting import Peer, Setting, Sizes


@dataclass(frozen=True)
class Asked:
    """A peer in a setting, and what it answered so far."""

    peer: Peer
    setting: Setting
    sizes: Sizes
    facts: dict[str, object] = field(default_factory=dict[str, object])
    rounds: list[Round] = field(default_factory=list[Round])

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
            "rounds": [described(one) for one in self.rounds],
        }


def described(one: Round) -> dict[str, Any]:
    """A round without its many first lines, of which the figures are made."""
    return {name: value for name, value in asdict(one).items() if name != "first_lines_ms"}


def answer(asked: list[Asked], unavailable: dict[str, str]) -> Answer:
    machine = [one.machine for each in asked for one in each.rounds]
    peers = {one.peer.name: one.peer for one in asked}
    return Answer(
        figures=tuple(figure for one in asked for figure in figures(one.name, one.rounds)),
        primitives=medians(machine) if machine else {},
        checksum=report.checksum([mixed_often(0, STEPS), fanned(WIDTH)]),
        details={
            "versions": {name: peer.packages for name, peer in peers.items()},
            "settings": {one.name: one.described() for one in asked},
            "unavailable": unavailable,
            "not_measured": {name: peer.not_measured for name, peer in peers.items()},
        },
    )

"""Every fault at every moment of every kind of run, under every checkpoint preset.

Each scene is played once without a fault: this tells at which messages and commits a fault can strike. Then it is
played once for each of them, with the real engine and worker and their real bytes in virtual time. Results are those of
the play without a fault, nothing acknowledged is lost, no more is repeated than the preset allows, and all of it ends
in time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from onward.checkpoint import PRESETS
from onward_protocol.limits import Times

from tests.support.cluster import Loss
from tests.support.faults import (
    Blow,
    CutAtByte,
    Fault,
    InCommit,
    ToMessage,
    cut,
    delay,
    double,
    drop,
    kill_after,
    kill_before,
    lose,
)
from tests.support.ledger import now_ms
from tests.support.matrix import Play, Record, Scene, problems_of, rehearse
from tests.support.stories import FOR_EVER, Act, Ask, Await, Call, Fork, Hear, Mark, Nap, Op, Spawn, Story, Tell

pytestmark = pytest.mark.usefixtures("quiet_logs")

SHORT, LONG_NAP = 5, 300

ADOPTION_MS = Times().adoption_ms
"""An engine that starts waits so long for a worker that died or left together with the one before."""

LARGE = 20_000
"""Characters that travel in several parts: a new connection takes a quarter of 16 KiB at once."""


def steps(*names: str) -> list[Op]:
    return [Act(name, SHORT) for name in names]


async def leave(play: Play) -> None:
    """Another worker comes, and the first one leaves as it should."""
    first = play.cluster.worker("worker-1")
    await asyncio.sleep(0.02)
    play.cluster.start_worker()
    await asyncio.sleep(0.02)
    play.cluster.retire(first)
    assert first.worker is not None
    first.worker.stop()


async def replace_engine(play: Play) -> None:
    """The engine says goodbye, and the next one starts."""
    await asyncio.sleep(0.012)
    if play.cluster.engine is not None:
        await play.cluster.stop_engine()
        play.cluster.start_engine()


async def stand_still(play: Play) -> None:
    """The worker stops for longer than its lease; another one goes on, and then the first one too."""
    first = play.cluster.worker("worker-1")
    await asyncio.sleep(0.012)
    began_at_ms = now_ms()
    play.cluster.stop(first)
    play.cluster.start_worker()
    await asyncio.sleep(20)
    play.cluster.resume(first)
    play.losses.append(Loss(first.name, began_at_ms, now_ms()))


SCENES = {
    "steps": Scene(steps(*"abcde")),
    "rush": Scene([Act(f"quick{n}", 0) for n in range(20)]),
    "branches": Scene([Fork([steps("a", "b"), [Act("c", 8)], steps("d")]), *steps("last")]),
    "map": Scene([Fork([steps(f"item{n}") for n in range(4)], limit=2), *steps("last")]),
    "wait": Scene([*steps("before"), Await(60_000), *steps("after")]),
    "event before": Scene([Act("long", 60), Await(60_000), *steps("after")]),
    "wait beside": Scene([Fork([[Await(60_000), *steps("woken")], [Act(f"long{n}", 20) for n in range(5)]])]),
    "nap": Scene([*steps("before"), Nap(50), Act("after", SHORT, nap_ms=50)]),
    "invoke": Scene([*steps("before"), Call(Story("child", steps("in", "out"))), *steps("after")]),
    "start": Scene([*steps("before"), Spawn(Story("apart", steps("in", "out"))), *steps("after")]),
    "signals": Scene([*steps("before"), Hear(1), *steps("between"), Hear(2), Hear(3), *steps("after")]),
    "signals before": Scene([Act("long", 80), Hear(1), Hear(2), *steps("after")]),
    "callback": Scene([*steps("before"), Ask(steps("beside")), *steps("after")]),
    "answer before": Scene([Ask([Act("long", 60), Nap(50)]), *steps("after")]),
    "marks": Scene([Mark("one"), *steps("a", "b"), Mark("two"), *steps("after")]),
    "send": Scene([*steps("before"), Tell("aside"), *steps("after")]),
    "retry": Scene([*steps("before"), Act("shaky", SHORT, failures=2, backoff_ms=10), *steps("after")]),
    "failure": Scene([*steps("before"), Act("hopeless", SHORT, FOR_EVER, backoff_ms=1), *steps("after")]),
    "barrier": Scene([*steps("a", "b"), Act("charge", SHORT, barrier=True), *steps("after")]),
    "barriers": Scene([Fork([[Act("left", SHORT, barrier=True)], [Act("right", 8, barrier=True)], steps("c", "d")])]),
    "large": Scene([*steps("before"), Act("large", SHORT, chars=LARGE), *steps("after")]),
    "eviction": Scene([*steps("before"), Nap(LONG_NAP), Act("after", SHORT, nap_ms=LONG_NAP)], park_ttl="0.1s"),
    "leaving": Scene(steps(*"abcdefghi"), stir=leave, late_ms=ADOPTION_MS),
    "new engine": Scene([*steps(*"abc"), Nap(50), *steps("last")], stir=replace_engine, late_ms=ADOPTION_MS),
    "zombie": Scene(steps(*"abcd"), stir=stand_still),
}

FAULTS: dict[str, Fault] = {
    "worker killed before": ToMessage(kill_before, 3_000),
    "worker killed after": ToMessage(kill_after, 3_000),
    "engine killed before": InCommit("before", 3_000),
    "engine killed after": InCommit("after", 3_000),
    "lost": ToMessage(lose, 1_500),
    "lost twice": ToMessage(lose, 3_000, times=2),
    "cut": ToMessage(cut, 1_500),
    "cut twice": ToMessage(cut, 3_000, times=2),
    "late": ToMessage(delay(2_000), 3_500),
    "late twice": ToMessage(delay(2_000), 7_000, times=2),
    "acks late": ToMessage(delay(10_000), 13_000, kinds=frozenset({"Ack"})),
    "dropped": ToMessage(drop, 17_000, outlasts_grace=True),
    "dropped twice": ToMessage(drop, 34_000, times=2, outlasts_grace=True),
    "doubled": ToMessage(double, 17_000, outlasts_grace=True),
    "doubled twice": ToMessage(double, 34_000, times=2, outlasts_grace=True),
}

REAL_FAULTS = {name: fault for name, fault in FAULTS.items() if not fault.outlasts_grace}
"""What happens on networks and to processes; no connection drops or doubles a message and lives on."""

WIRE = {"Hello", "Checkpoint", "Beat", "Return", "Drain", "Bye", "Part"} | {
    *("Welcome", "Assign", "Ack", "BeatAck", "Wake", "Fence", "GoAway")
}
"""The frames that the matrix disturbs. A worker that is refused, streams, logs and early cancels are not among them."""

FIELDS_FOR_SEEDS = 80
CUTS_FOR_SEEDS = 5
"""So many seeds more let one more point of a row be tried; `make sim` tries them all."""

Withstand = Callable[[str, "list[Field]", int], None]


@dataclass(frozen=True, slots=True)
class Field:
    """One point at which a fault strikes."""

    preset: str
    blow: Blow
    expected: Record

    def __str__(self) -> str:
        return f"{self.preset}, {self.blow.point}"


@cache
def rehearsed(preset: str, scene: str) -> Record:
    return rehearse(SCENES[scene], PRESETS[preset])


def row(scene: str, fault: Fault) -> list[Field]:
    """Return all fields of a fault in a scene, over all presets."""
    played = [(preset, rehearsed(preset, scene)) for preset in PRESETS]
    return [Field(preset, blow, expected) for preset, expected in played for blow in fault.blows(expected)]


def chosen(fields: list[Field], count: int, only: str) -> list[Field]:
    """Return the field of that name, or as many as there is time for, always the same ones."""
    if only:
        return [field for field in fields if str(field) == only]
    return random.Random(1).sample(fields, min(max(count, 1), len(fields)))


@pytest.fixture
def withstand(request: pytest.FixtureRequest, tmp_path: Path) -> Withstand:
    """Play a row, or one of its fields for so many seeds; fail with what went wrong and the commands that repeat it."""
    options = request.config.option

    def play(scene: str, fields: list[Field], for_seeds: int) -> None:
        problems: list[str] = []
        for number, field in enumerate(chosen(fields, options.seeds // for_seeds, options.only)):
            path = tmp_path / f"{number}.db"
            found = problems_of(SCENES[scene], PRESETS[field.preset], [field.blow], field.expected, path)
            problems += [*found, f"again: pytest '{request.node.nodeid}' --only '{field}'"] if found else []
        assert not problems, "\n".join(problems)

    return play


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("scene", SCENES)
def test_without_a_fault_all_is_well(scene: str, preset: str) -> None:
    assert rehearsed(preset, scene).problems == []


def test_every_frame_of_the_wire_is_met() -> None:
    met = {kind for scene in SCENES for said in rehearsed("safe", scene).said for kind in said.kinds}
    assert met >= WIRE


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_fault_changes_no_result_and_repeats_no_more_than_it_may(
    scene: str, fault: str, withstand: Withstand
) -> None:
    withstand(scene, row(scene, FAULTS[fault]), FIELDS_FOR_SEEDS)


@pytest.mark.parametrize("kind", ["Checkpoint", "Ack", "Assign"])
def test_a_connection_that_breaks_behind_any_byte_of_a_frame_repeats_nothing(kind: str, withstand: Withstand) -> None:
    withstand("steps", row("steps", CutAtByte(kind)), CUTS_FOR_SEEDS)


def test_two_faults_together_change_no_result_either(seed: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rng = random.Random(seed)
    scene, preset = rng.choice(list(SCENES)), rng.choice(list(PRESETS))
    expected = rehearsed(preset, scene)
    faults = (rng.choice(list(FAULTS)), rng.choice(list(REAL_FAULTS)))
    blows = [rng.choice(list(FAULTS[fault].blows(expected))) for fault in faults]
    problems = problems_of(SCENES[scene], PRESETS[preset], blows, expected, tmp_path / "store.db")
    story = f"{preset}, {scene}: {faults[0]} at {blows[0].point}, {faults[1]} at {blows[1].point}"
    assert not problems, "\n".join([story, *problems, f"again: pytest '{request.node.nodeid}' --seeds {seed + 1}"])

from __future__ import annotations

from onward_protocol.messages import EngineFrame, Packed, Part, Wake, WorkerFrame
from onward_protocol.states import (
    CROSSING,
    ENGINE_KINDS,
    GUARD_KINDS,
    MOVES,
    SLOT_WAKE,
    WORKER_KINDS,
    Phase,
    after_receiving,
    after_sending,
    kind_of,
    render_diagram,
)


def test_a_connection_never_goes_back() -> None:
    assert all(after >= phase for phase, moves in MOVES.items() for after in moves.values())


def test_every_frame_has_its_place_in_the_table() -> None:
    frames = {kind.__name__ for union in (WorkerFrame, EngineFrame) for kind in union.__args__}
    kinds = frames - {Part.__name__, Packed.__name__}
    assert kinds | {SLOT_WAKE} == {kind for moves in MOVES.values() for kind in moves}
    assert kinds | {SLOT_WAKE} == WORKER_KINDS | ENGINE_KINDS
    assert not WORKER_KINDS & ENGINE_KINDS
    assert kinds > GUARD_KINDS


def test_only_frames_of_the_engine_cross() -> None:
    assert frozenset[str]().union(*CROSSING.values()) <= ENGINE_KINDS


def test_whatever_the_engine_could_send_before_it_learned_may_still_arrive() -> None:
    for phase, moves in MOVES.items():
        for kind, after in moves.items():
            if kind in WORKER_KINDS and after is not phase:  # the worker moves on while the engine is still behind
                sent_meanwhile = set(moves) & ENGINE_KINDS
                assert all(after_receiving(after, late) is not None for late in sent_meanwhile), (phase, kind)


def test_nothing_is_given_to_a_worker_that_drains_or_moves() -> None:
    for phase in (Phase.DRAINING, Phase.MOVING, Phase.CLOSED):
        assert after_sending(phase, "Assign") is None
        assert after_sending(phase, SLOT_WAKE) is None


def test_finished_work_is_accepted_as_long_as_the_connection_lives() -> None:
    for phase in (Phase.OPEN, Phase.DRAINING, Phase.MOVING):
        assert after_sending(phase, "Checkpoint") is phase
        assert after_sending(phase, "Ack") is phase


def test_a_wake_with_a_slot_is_a_kind_of_its_own() -> None:
    assert kind_of(Wake("run_a", 1, (), slot=True)) == SLOT_WAKE
    assert kind_of(Wake("run_a", 1, ())) == "Wake"


def test_the_diagram_shows_each_move_once() -> None:
    lines = render_diagram().splitlines()
    moves = sum(after is not phase for phase, moves in MOVES.items() for after in moves.values())
    assert len(lines) == len(set(lines)) == moves + 3
    assert "    OPEN --> DRAINING: worker Drain" in lines

"""When a lost worker counts against a run, and what follows from it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from onward_engine.model import Run
from onward_engine.rules import lifecycle, losses
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import AttemptFailed, Failure, Seen, StepDone, WorkerLosses

ASSIGNED = lifecycle.claimed(Run(id="run_1", function="shop/work", ord=1), "wrk_a", 1, 1_000)
LOST = lifecycle.orphaned(ASSIGNED)
LIMITS, TIMES = Limits(), Times()


def claimed(run: Run) -> Run:
    return lifecycle.claimed(run, "wrk_b", 1, 2_000)


def test_a_takeover_without_progress_is_a_strike() -> None:
    assert claimed(LOST).strikes == 1


def test_a_takeover_after_progress_is_none() -> None:
    assert claimed(replace(LOST, seq=1)).strikes == 0


@pytest.mark.parametrize(
    "left",
    [lifecycle.requeued(ASSIGNED), lifecycle.disconnected(LOST), lifecycle.requeued(lifecycle.readied(ASSIGNED))],
)
def test_what_the_engine_or_the_worker_has_arranged_is_no_strike(left: Run) -> None:
    assert claimed(left).strikes == 0


def test_a_holder_that_comes_back_costs_the_run_nothing() -> None:
    assert lifecycle.resumed(LOST, "wrk_a", 2).strikes == 0


def test_from_the_second_strike_on_a_run_waits_ever_longer_up_to_a_minute() -> None:
    pauses = [losses.pause_ms(replace(LOST, strikes=strikes), TIMES) for strikes in (0, 1, 2, 3, 7, 8, 1_000)]
    assert pauses == [0, 1_000, 2_000, 4_000, 60_000, 60_000, 60_000]


def test_a_run_is_suspect_from_its_second_strike_on() -> None:
    again = claimed(lifecycle.orphaned(claimed(LOST)))
    assert [losses.is_suspect(run) for run in (LOST, claimed(LOST), again)] == [False, False, True]


def test_a_failed_attempt_is_no_progress() -> None:
    assert not losses.is_progress((Seen(1), AttemptFailed("a", 1, Failure("WorkerLost", ""), 1_000)))
    assert losses.is_progress((Seen(1), StepDone("a", b"")))


def test_the_fifth_strike_is_charged_once_until_a_worker_has_acted_on_it() -> None:
    run = replace(ASSIGNED, strikes=5)
    assert losses.charge(replace(run, strikes=4), (), LIMITS) is None
    assert losses.charge(run, (), LIMITS) == WorkerLosses(1, 5)
    assert losses.charge(replace(run, strikes=6), (WorkerLosses(1, 5),), LIMITS) is None


def test_a_run_that_never_comes_to_the_step_to_be_charged_fails_itself() -> None:
    end = losses.charge(replace(ASSIGNED, strikes=10), (WorkerLosses(1, 5),), LIMITS)
    assert isinstance(end, Failure)
    assert end.type == "WorkerLost"

"""What becomes of workers that end, grow, or have nothing to do."""

from __future__ import annotations

import signal

import pytest
from onward_cli.exits import Exit
from onward_cli.fates import (
    Ending,
    Fate,
    fate_of,
    has_died,
    is_over,
    is_unbearable,
    next_to_leave,
)
from onward_cli.mailbox import SIGNALS
from onward_cli.plan import Plan

ONE, SEVERAL, WATCHED = Plan(), Plan(processes=4), Plan(is_reloading=True)
CRASHED = Ending(-signal.SIGSEGV, had_begun=True)
ENDED_ITSELF = Ending(0, had_begun=True)
LEFT = Ending(0, had_begun=True, had_left=True)
REFUSED = Ending(Exit.AUTH, had_begun=True, has_told=True)
UNABLE_TO_IMPORT = Ending(Exit.IMPORT, had_begun=False)
CRASHED_AT_IMPORT = Ending(-signal.SIGSEGV, had_begun=False)
MIB = 1 << 20


def fate(ending: Ending, plan: Plan, *, is_ending: bool = False, has_begun: bool = True) -> Fate:
    return fate_of(ending, plan, is_ending=is_ending, has_begun=has_begun)


@pytest.mark.parametrize("ending", [CRASHED, ENDED_ITSELF, Ending(3, had_begun=True), Ending(Exit.BUG, had_begun=True)])
def test_one_of_several_that_dies_is_started_again_and_a_single_one_ends_the_process(ending: Ending) -> None:
    assert has_died(ending)
    assert (fate(ending, SEVERAL), fate(ending, ONE)) == ("again", "end")


@pytest.mark.parametrize("plan", [ONE, SEVERAL])
@pytest.mark.parametrize("ending", [UNABLE_TO_IMPORT, Ending(Exit.USAGE, had_begun=False), REFUSED])
def test_an_error_that_somebody_has_to_mend_ends_everything(ending: Ending, plan: Plan) -> None:
    assert not has_died(ending)
    assert fate(ending, plan) == "end"


def test_a_process_that_ends_itself_with_the_status_of_an_error_has_died() -> None:
    assert has_died(Ending(Exit.AUTH, had_begun=True))
    assert fate(Ending(Exit.AUTH, had_begun=True), SEVERAL) == "again"


def test_the_first_of_several_that_dies_before_it_has_begun_ends_everything() -> None:
    assert fate(CRASHED_AT_IMPORT, SEVERAL, has_begun=False) == "end"
    assert fate(CRASHED_AT_IMPORT, SEVERAL) == "again"


def test_one_of_several_that_somebody_has_asked_to_leave_makes_room_for_another_one_and_a_single_one_ends_well() -> (
    None
):
    assert not has_died(LEFT)
    assert [fate(LEFT, plan) for plan in (ONE, WATCHED, SEVERAL)] == ["done", "done", "again"]


@pytest.mark.parametrize("plan", [ONE, SEVERAL, WATCHED])
@pytest.mark.parametrize("ending", [LEFT, CRASHED, UNABLE_TO_IMPORT])
def test_nobody_is_started_again_once_all_were_asked_to_end(ending: Ending, plan: Plan) -> None:
    assert fate(ending, plan, is_ending=True) == "done"


@pytest.mark.parametrize("plan", [ONE, SEVERAL, WATCHED])
@pytest.mark.parametrize("ending", [LEFT, CRASHED, Ending(-signal.SIGTERM, had_begun=False)])
def test_who_was_sent_away_is_replaced_however_it_ended(ending: Ending, plan: Plan) -> None:
    assert fate(ending._replace(was_sent_away=True), plan) == "again"


def test_who_was_sent_away_before_it_had_begun_has_not_died() -> None:
    assert not has_died(Ending(-signal.SIGTERM, had_begun=False, was_sent_away=True))


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("word", ["had_left", "has_told"])
def test_who_is_met_by_a_signal_after_its_last_word_has_not_died(word: str, number: int) -> None:
    ended = Ending(-number, had_begun=True)
    assert has_died(ended)
    assert not has_died(ended._replace(**{word: True}))


def test_while_code_is_watched_an_error_waits_for_a_change_and_a_crash_does_not() -> None:
    assert fate(UNABLE_TO_IMPORT, WATCHED, has_begun=False) == "wait"
    assert fate(CRASHED_AT_IMPORT, WATCHED, has_begun=False) == "again"


def test_the_largest_above_the_limit_leaves_and_the_others_wait_for_its_successor() -> None:
    sizes = {0: 90 * MIB, 1: 120 * MIB, 2: 130 * MIB}
    assert next_to_leave(sizes, 100 * MIB, leaving=0) == 2
    assert next_to_leave(sizes, 100 * MIB, leaving=1) is None
    assert next_to_leave(sizes, 130 * MIB, leaving=0) is None
    assert next_to_leave({}, 100 * MIB, leaving=0) is None


def test_at_half_as_much_again_nobody_waits_for_its_steps() -> None:
    assert not is_unbearable(150 * MIB, 100 * MIB)
    assert is_unbearable(150 * MIB + 1, 100 * MIB)


@pytest.mark.parametrize(("idle_ms", "expected"), [(4_999, False), (5_000, True), (None, False)])
def test_a_burst_is_over_after_a_time_without_work_that_is_known_of(idle_ms: int | None, expected: bool) -> None:
    burst = Plan(idle_max_ms=5_000)
    assert is_over(burst, ran_ms=100_000, idle_ms=idle_ms) is expected
    assert not is_over(Plan(), ran_ms=100_000, idle_ms=idle_ms)


@pytest.mark.parametrize("idle_ms", [None, 0, 1_000_000])
def test_a_limited_time_is_over_whatever_there_is_to_do(idle_ms: int | None) -> None:
    assert is_over(Plan(runtime_max_ms=60_000), ran_ms=60_000, idle_ms=idle_ms)
    assert not is_over(Plan(runtime_max_ms=60_000), ran_ms=59_999, idle_ms=idle_ms)


def test_a_plan_survives_its_way_to_the_supervisor() -> None:
    plan = Plan(3, 512 * MIB, 5_000, 60_000, is_reloading=True, is_bound=True, log_format="json", memory_kills=2)
    assert Plan.decode(plan.encode()) == plan

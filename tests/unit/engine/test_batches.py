"""What goes into one transaction: the oldest first, up to the bounds, and at most half of the runs that move."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from onward_engine.batches import GROUP_MIN, Batches, Item
from onward_engine.commit import ignore
from onward_engine.settings import Bounds
from onward_engine.store.port import ApplyCheckpoint, Op, Present, Register
from onward_protocol.messages import Outcome, RunCompleted

from tests.unit.engine.peer import SHOP


def step(run: str, outcome: Outcome | None = None) -> ApplyCheckpoint:
    return ApplyCheckpoint(
        now_ms=1, run=run, epoch=1, seq=1, instance="wrk_a", generation=1, raw=b"\x90", entries=(), outcome=outcome
    )


def runs(count: int) -> list[str]:
    return [f"run_{number}" for number in range(count)]


def add(batches: Batches, ops: Iterable[Op[object]], size: int = 1) -> None:
    for op in ops:
        batches.add(Item(op, ignore, size), is_urgent=False)


def taken_runs(batches: Batches) -> list[str]:
    return [item.op.run for item in batches.take() if isinstance(item.op, ApplyCheckpoint)]


@pytest.mark.parametrize("count", [100, 400, 900])
def test_runs_in_step_become_two_groups_that_stay_two(count: int) -> None:
    batches = Batches(Bounds())
    add(batches, map(step, runs(count)))
    seen: list[list[str]] = []
    for _ in range(10):
        seen.append(group := taken_runs(batches))
        add(batches, map(step, group))  # the others wait while these are executed
    assert [len(group) for group in seen] == [count // 2] * 10
    assert set(seen[0]).isdisjoint(seen[1])
    assert seen[0] == seen[2]


def test_groups_that_were_unequal_become_equal_again() -> None:
    batches = Batches(Bounds())
    add(batches, map(step, runs(130)[:100]))
    first = taken_runs(batches)
    assert len(first) == 50
    add(batches, map(step, [*first, *runs(130)[100:]]))
    assert [len(taken_runs(batches)) for _ in range(2)] == [65, 65]


def test_a_few_more_than_half_share_the_transaction_too() -> None:
    batches = Batches(Bounds())
    add(batches, map(step, runs(100)))
    assert len(batches.take()) == 50
    add(batches, map(step, runs(110)[100:]))
    assert len(batches.take()) == 60  # ten of them would have paid for a flush of their own


def test_few_runs_share_a_transaction() -> None:
    batches = Batches(Bounds())
    add(batches, map(step, runs(GROUP_MIN)))
    assert len(batches.take()) == GROUP_MIN


def test_what_nothing_waits_for_to_go_on_is_not_divided() -> None:
    batches = Batches(Bounds())
    add(batches, [Register(now_ms=1, app=SHOP)] * 250)
    add(batches, [step(run, RunCompleted(b"\xc0")) for run in runs(250)])
    assert len(batches.take()) == 500


def test_what_one_run_reports_is_not_divided() -> None:
    batches = Batches(Bounds())
    add(batches, map(step, ["run_1"] * 500))
    assert len(batches.take()) == 500


def test_the_oldest_go_first_and_the_urgent_before_them() -> None:
    batches = Batches(Bounds(batch_ops_max=2))
    add(batches, map(step, ["run_1", "run_2"]))
    batches.add(Item(Present(now_ms=1, replica="a", dead_ms=1), ignore, 1), is_urgent=True)
    assert isinstance(batches.take()[0].op, Present)
    assert taken_runs(batches) == ["run_2"]


def test_a_transaction_has_bounds_in_operations_and_in_bytes() -> None:
    batches = Batches(Bounds(batch_ops_max=3, batch_bytes_max=100))
    add(batches, map(step, runs(5)), size=10)
    assert (len(batches.take()), len(batches), batches.bytes) == (3, 2, 20)
    add(batches, map(step, runs(2)), size=90)
    assert (len(batches.take()), len(batches), batches.bytes) == (3, 1, 90)


def test_what_waits_can_be_replaced() -> None:
    batches = Batches(Bounds())
    add(batches, map(step, runs(3)), size=10)
    batches.replace(list(batches)[1:])
    assert (len(batches), batches.bytes) == (2, 20)
    assert taken_runs(batches) == ["run_1", "run_2"]

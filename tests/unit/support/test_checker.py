"""The checker of the simulation rejects histories that it must reject, each made from a good one by one change."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed
from onward_engine.model import Status
from onward_engine.store.port import ApplyCheckpoint, Claim, GiveBack, Rejected, Resume
from onward_protocol.messages import Arrived, Due, StepDone, TimedOut

from tests.support.checker import violations
from tests.support.history import History, Stored, frame_of, taken
from tests.support.ledger import Execution
from tests.support.witness import Record
from tests.support.world import live

Change = Callable[[History], None]

SEED = 8  # gentle faults; its runs nap, wait for events and call others


@pytest.fixture(scope="module")
def good() -> History:
    history = live(SEED).history
    assert history is not None
    assert history.is_gentle
    assert not violations(history)
    return history


@pytest.fixture
def history(good: History) -> History:
    inspect = good.ledger._inspect  # leads to the whole world
    return deepcopy(good, {id(inspect): inspect})


def some_run(history: History) -> Stored:
    return next(one for one in history.stored.values() if any(isinstance(entry, StepDone) for entry in one.entries))


def some_frame(history: History) -> int:
    return next(index for index, record in enumerate(history.records) if frame_of(record))


def put(history: History, run: Stored) -> None:
    history.stored[run.run.id] = run


def insert(history: History, index: int, record: Record) -> None:
    history.records = [*history.records[:index], record, *history.records[index:]]


def lose_a_run(history: History) -> None:
    del history.stored[history.told[0].answers[0][0]]


def leave_a_run_unfinished(history: History) -> None:
    run = some_run(history)
    put(history, replace(run, run=changed(run.run, status=Status.PARKED)))


def answer_differently(history: History) -> None:
    told = next(told for told in history.told if told.has_id)
    told.answers.append(("run_other",))


def change_a_result(history: History) -> None:
    run = some_run(history)
    put(history, replace(run, run=changed(run.run, output=msgspec.msgpack.encode(["s1#999"]))))


def store_a_value_that_nobody_returned(history: History) -> None:
    run = some_run(history)
    done = next(entry for entry in run.entries if isinstance(entry, StepDone))
    other = next(one for one in history.ledger.executions if one.run != run.run.id)
    forged = changed(done, key="forged", output=msgspec.msgpack.encode(other.value))
    put(history, replace(run, entries=[*run.entries, forged]))


def store_a_step_twice(history: History) -> None:
    run = some_run(history)
    done = next(entry for entry in run.entries if isinstance(entry, StepDone))
    put(history, replace(run, entries=[*run.entries, done]))


def complain(history: History) -> None:
    history.ledger.executions[0].complaints.append("builds on sand")


def repeat_a_body(history: History) -> None:
    one = next(one for one in history.ledger.executions if not one.is_raised)
    again = Execution(
        one.run, one.step, 1, one.worker, (), number=99, began_at_ms=one.began_at_ms + 10, ended_at_ms=one.ended_at_ms
    )
    history.ledger.by_step[one.run, one.step].append(again)


def wake_up_early(history: History) -> None:
    one = next(one for one in history.ledger.executions if one.nap_ms)
    one.nap_ms += 3_600_000


def store_a_frame_of_an_old_epoch(history: History) -> None:
    index = some_frame(history)
    frame = frame_of(history.records[index])
    assert frame is not None
    insert(history, index + 1, replace(history.records[index], op=changed(frame, epoch=0, seq=frame.seq + 1)))


def store_a_frame_of_somebody_else(history: History) -> None:
    edit_frame(history, instance="wrk_other")


def leave_out_a_frame(history: History) -> None:
    edit_frame(history, seq=7_000)


def edit_frame(history: History, **fields: Any) -> None:
    index = some_frame(history)
    record = history.records[index]
    assert isinstance(record.op, ApplyCheckpoint)
    records = [*history.records]
    records[index] = replace(record, op=changed(record.op, **fields))
    history.records = records


def claim_without_a_new_epoch(history: History) -> None:
    index = next(index for index, record in enumerate(history.records) if taken(record))
    insert(history, index, history.records[index])


def end_twice(history: History) -> None:
    history.finished.append(history.finished[0])


def store_a_frame_after_the_end(history: History) -> None:
    last = next(
        record for record in reversed(history.records) if frame_of(record) and record.outcome.status.is_terminal
    )
    history.records = [*history.records, last]


def end_a_wait_twice(history: History) -> None:
    run = next(one for one in history.stored.values() if any(isinstance(end, Due) for end in one.ends))
    run.ends.append(next(end for end in run.ends if isinstance(end, Due)))


def miss_an_event(history: History) -> None:
    run = next(one for one in history.stored.values() if any(isinstance(end, Arrived) for end in one.ends))
    arrived = next(end for end in run.ends if isinstance(end, Arrived))
    late_ms = history.records[-1].at_ms + 1
    ends = [TimedOut(arrived.pos, arrived.key, late_ms) if end is arrived else end for end in run.ends]
    put(history, replace(run, ends=ends))


def run_for_nobody(history: History) -> None:
    run = next(one for one in history.stored.values() if one.run.function == "sim/told" and not one.run.parent)
    put(history, replace(run, run=changed(run.run, id="run_phantom")))


def reject_an_operation(history: History) -> None:
    claim = next(record for record in history.records if isinstance(record.op, Claim))
    insert(history, 0, replace(claim, outcome=Rejected("unstorable", "no")))


def acknowledge_something_else(history: History) -> None:
    run = some_run(history)
    done = next(entry for entry in run.entries if isinstance(entry, StepDone))
    history.overheard.acked[run.run.id, done.key] = b"something else"


def acknowledge_what_is_not_stored(history: History) -> None:
    history.overheard.acked["run_unknown", "s1@0#0"] = b""


def read_something_else(history: History) -> None:
    history.overheard.read.add((some_run(history).run.id, 1, 1, b"something else"))


def call_a_child_twice(history: History) -> None:
    run = some_run(history)
    put(history, replace(run, run=changed(run.run, id="run_twin", parent=run.run.id)))


def find_a_run_in_no_queue(history: History) -> None:
    history.complaints.append("run_1 is queued and in no queue")


def write_after_the_end(history: History) -> None:
    run = next(one for one in history.stored.values() if one.ends)
    put(history, replace(run, run=changed(run.run, ended_at_ms=1)))


def differ_about_a_run(history: History) -> None:
    resume = Resume(now_ms=0, instance="wrk_1", generation=1, held=(), is_whole=False)
    insert(history, 0, Record(0, resume, outcome=()))


def lose_an_assignment(history: History) -> None:
    insert(history, 0, Record(0, GiveBack(now_ms=0, run="run_1", epoch=1, reason="lost"), outcome=True))


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (lose_a_run, "lost"),
        (leave_a_run_unfinished, "lost"),
        (answer_differently, "lost"),
        (change_a_result, "results"),
        (store_a_value_that_nobody_returned, "values"),
        (store_a_step_twice, "values"),
        (complain, "executions"),
        (repeat_a_body, "repeats"),
        (wake_up_early, "naps"),
        (store_a_frame_of_an_old_epoch, "epochs"),
        (store_a_frame_of_somebody_else, "epochs"),
        (leave_out_a_frame, "epochs"),
        (claim_without_a_new_epoch, "epochs"),
        (acknowledge_something_else, "acked"),
        (acknowledge_what_is_not_stored, "acked"),
        (read_something_else, "reads"),
        (call_a_child_twice, "children"),
        (find_a_run_in_no_queue, "situations"),
        (write_after_the_end, "ends"),
        (end_twice, "ends"),
        (store_a_frame_after_the_end, "ends"),
        (end_a_wait_twice, "waits"),
        (miss_an_event, "waits"),
        (run_for_nobody, "phantoms"),
        (reject_an_operation, "rejections"),
        (differ_about_a_run, "differences"),
        (lose_an_assignment, "differences"),
    ],
)
def test_a_broken_promise_is_found(history: History, change: Change, promise: str) -> None:
    change(history)
    assert promise in {violation.partition(":")[0] for violation in violations(history)}

"""All runs of a worker: slots and credit, and what is said to the engine."""

import asyncio
import gc
import threading
from contextlib import suppress
from typing import Any

import pytest
from onward.checkpoint import Checkpoint as Setting
from onward.host import Host
from onward_protocol.busy_poll import BusyPoll
from onward_protocol.messages import (
    Ack,
    Assign,
    Cancel,
    Checkpoint,
    Due,
    EventWait,
    Fence,
    Halt,
    HandedBack,
    Held,
    Parked,
    Return,
    RunCompleted,
    RunRef,
    Wake,
    WorkerFrame,
)
from onward_protocol.messages import RunCancelled as CancelledOutcome

from tests.support.paper_engine import PaperEngine, PaperRun, Program, call, finished, quiet, until


async def waiting(host: Host) -> str:
    await host.wait("w", EventWait("e"))
    return "done"


async def blocked(host: Host) -> None:
    await asyncio.get_running_loop().create_future()


async def passing() -> None: ...


async def parked(engine: PaperEngine, run: str = "run_1") -> PaperRun:
    state = engine.start(run)
    await quiet(engine)
    assert state.outcome == Parked()
    return state


def due(pos: int) -> Due:
    return Due(pos, "w@0#0")


# -- slots and credit


async def test_a_run_takes_a_slot_until_it_ends() -> None:
    async def function(host: Host) -> None:
        await host.step(call(passing))

    engine = PaperEngine(Program(function), slots=2)
    engine.start()
    assert (engine.runner.free, engine.runner.accepted) == (1, 1)
    await finished(engine)
    await quiet(engine)
    assert (engine.runner.free, engine.runner.accepted) == (2, 1)


async def test_the_message_with_the_outcome_of_a_run_offers_its_slot_as_well() -> None:
    async def function(host: Host) -> str:
        return "done"

    offered: list[int] = []
    engine = PaperEngine(Program(function), slots=2)
    send = engine.runner.send

    def sent(frame: WorkerFrame) -> None:
        send(frame)
        asyncio.get_running_loop().call_soon(lambda: offered.append(engine.runner.free))  # when it is written

    engine.runner.send = sent
    engine.start()
    await finished(engine)
    assert offered == [2]


async def test_an_assignment_without_a_free_slot_is_returned() -> None:
    engine = PaperEngine(Program(blocked), slots=1)
    engine.start("run_1")
    engine.start("run_2")
    assert engine.returned == [Return("run_2", 1, "full")]
    assert engine.runner.accepted == 1
    await engine.runner.close()


async def test_an_unknown_function_is_returned() -> None:
    engine = PaperEngine(Program(blocked))
    engine.start("run_1", "app/other")
    assert engine.returned == [Return("run_1", 1, "unknown")]


async def test_the_same_assignment_again_changes_nothing() -> None:
    engine = PaperEngine(Program(blocked))
    run = engine.start()
    run.epoch = 0
    engine.runner.handle(run.assign())
    assert engine.runner.accepted == 1
    await engine.runner.close()


async def test_credit_belongs_to_a_connection() -> None:
    engine = PaperEngine(Program(blocked))
    engine.start()
    engine.runner.new_connection()
    assert engine.runner.accepted == 0
    await engine.runner.close()


async def test_a_new_epoch_starts_only_when_the_old_code_has_ended_and_takes_over_its_slot() -> None:
    order: list[str] = []

    async def function(host: Host) -> None:
        order.append(f"begin {host.epoch}")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            order.append(f"end {host.epoch}")

    engine = PaperEngine(Program(function), slots=1)
    run = engine.start()
    await quiet(engine)
    engine.runner.handle(run.assign())
    assert engine.returned == []
    await quiet(engine)
    assert order == ["begin 1", "end 1", "begin 2"]
    assert engine.runner.free == 0
    await engine.runner.close()


# -- one run that waits for its acknowledgement


class Expectant(BusyPoll):
    """Counts the acknowledgements that a worker would have stayed awake for."""

    def __init__(self) -> None:
        super().__init__(1_000, clock_us=lambda: 0, call_soon=lambda _: None)
        self.answers = 0
        self.is_expecting = False

    def expect(self, who: str = "") -> None:
        self.is_expecting = True
        super().expect(who)

    def met(self) -> None:
        self.answers += self.is_expecting
        self.is_expecting = False
        super().met()


async def expected(*programs: Program, runs: int = 1) -> int:
    """Play runs together, each frame acknowledged by itself; return how many acknowledgements were expected."""
    poll = Expectant()
    engine = PaperEngine(*programs, auto=False, busy_poll=poll)
    states = [engine.start(f"run_{number}") for number in range(runs)]
    while any(state.outcome is None for state in states):
        await until(lambda: engine.sent)
        await quiet(engine)
        engine.store()
    await engine.runner.close()
    return poll.answers


STEPS = 5


async def in_a_row(host: Host) -> None:
    for _ in range(STEPS):
        await host.step(call(passing))


async def in_threads(host: Host) -> None:
    for _ in range(STEPS):
        await host.step(call(list))


async def in_tasks(host: Host) -> None:
    for _ in range(STEPS):
        await asyncio.gather(host.step(call(passing)))


async def in_groups(host: Host) -> None:
    for _ in range(STEPS):
        async with asyncio.TaskGroup() as group:
            group.create_task(host.step(call(passing)))


def in_its_own_thread(host: Host) -> None:
    for _ in range(STEPS):
        host.block(lambda: host.step(call(passing)))


@pytest.mark.parametrize(
    "code",
    [
        Program(in_a_row),
        Program(in_threads),
        Program(in_tasks),
        Program(in_groups),
        Program(in_its_own_thread, is_sync=True),
    ],
    ids=["in a row", "in threads", "in tasks", "in groups", "in a thread of its own"],
)
async def test_of_a_lone_run_each_acknowledgement_but_the_last_is_expected(code: Program) -> None:
    poll = Expectant()
    engine = PaperEngine(code, auto=False, busy_poll=poll)
    engine.start()
    for _ in range(STEPS - 1):
        await until(lambda: engine.sent and poll.is_expecting)
        engine.store()
    await engine.runner.close()
    assert poll.answers == STEPS - 1


async def test_of_two_runs_no_acknowledgement_is_expected() -> None:
    assert await expected(Program(in_a_row), runs=2) <= 1, "when the other one has ended"


async def test_a_run_with_a_step_that_executes_does_not_wait_only() -> None:
    async def code(host: Host) -> None:
        beside = asyncio.ensure_future(host.step(call(gate.wait)))
        await in_a_row(host)
        gate.set()
        await beside

    gate = asyncio.Event()
    assert await expected(Program(code)) == 0


async def test_a_run_that_computes_in_a_thread_does_not_wait_only() -> None:
    def two(host: Host) -> None:
        for number in range(2):
            asked.append(number)
            host.block(lambda: host.step(call(passing)))

    def code(host: Host) -> None:
        host.gather([lambda: two(host), lambda: gate.wait(10)])

    asked: list[int] = []
    gate, poll = threading.Event(), Expectant()
    engine = PaperEngine(Program(code, is_sync=True), auto=False, busy_poll=poll)
    engine.start()
    await until(lambda: engine.sent and len(asked) == 2)
    await quiet(engine)
    assert not poll.is_expecting
    gate.set()
    await until(lambda: poll.is_expecting)
    await engine.runner.close()


async def test_a_run_whose_abandoned_thread_still_works_does_not_wait_only() -> None:
    async def code(host: Host) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(host.step(call(lambda: gate.wait(10))), 0.05)
        await in_a_row(host)

    gate = threading.Event()
    assert await expected(Program(code)) == 0
    gate.set()


async def test_a_run_that_waits_for_a_lease_expects_no_acknowledgement() -> None:
    poll = Expectant()
    engine = PaperEngine(Program(in_a_row), auto=False, busy_poll=poll)
    engine.may_start = False
    engine.start()
    await quiet(engine)
    assert not poll.is_expecting
    await engine.runner.close()


async def test_a_run_that_may_go_ahead_of_its_acknowledgements_does_not_wait() -> None:
    assert await expected(Program(in_a_row, checkpoint=Setting.PIPELINED)) == 0


# -- parking and waking


async def test_a_parked_run_is_held_without_a_slot() -> None:
    engine = PaperEngine(Program(waiting), slots=1)
    await parked(engine)
    assert engine.runner.free == 1
    assert engine.runner.held() == (Held("run_1", 1, 1, 1, 0, "parked"),)
    await engine.runner.close()


async def test_a_wake_with_a_slot_lets_it_go_on() -> None:
    engine = PaperEngine(Program(waiting), slots=1)
    await parked(engine)
    engine.wake(due, slot=True)
    assert engine.runner.accepted == 2
    assert await finished(engine) == "done"


async def test_a_wake_without_a_slot_is_remembered_until_one_comes() -> None:
    engine = PaperEngine(Program(waiting))
    run = await parked(engine)
    engine.wake(due)
    await quiet(engine)
    assert run.outcome == Parked()
    assert engine.runner.held()[0].known == 1
    engine.runner.handle(Wake("run_1", 1, tuple(run.entries), slot=True))
    assert await finished(engine) == "done"


async def test_a_run_that_wakes_without_a_free_slot_leaves_so_that_it_goes_on_in_one_place_only() -> None:
    async def function(host: Host) -> Any:
        return await (blocked(host) if host.run_id == "run_2" else waiting(host))

    engine = PaperEngine(Program(function), slots=1)
    await parked(engine)
    engine.start("run_2")
    engine.wake(due, slot=True)
    assert engine.returned == [Return("run_1", 1, "full")]
    assert [held.run for held in engine.runner.held()] == ["run_2"]
    engine.runner.handle(Fence("run_2", 1))
    await quiet(engine)
    assert engine.runner.held() == ()


async def test_a_newer_assignment_ends_the_older_one_even_if_it_cannot_be_taken() -> None:
    async def function(host: Host) -> Any:
        return await (blocked(host) if host.run_id == "run_2" else waiting(host))

    engine = PaperEngine(Program(function), slots=1)
    await parked(engine)
    engine.start("run_2")
    engine.runner.handle(Assign("run_1", 2, "app/fn", 1, 1))
    assert engine.returned == [Return("run_1", 2, "full")]
    assert [held.run for held in engine.runner.held()] == ["run_2"]
    await engine.runner.close()


async def test_a_slot_for_a_run_that_is_not_parked_is_given_back_at_once() -> None:
    engine = PaperEngine(Program(blocked), slots=3)
    run = engine.start()
    engine.runner.handle(Wake(run.run, 1, (), slot=True))
    assert (engine.runner.accepted, engine.runner.free) == (2, 2)
    await engine.runner.close()


async def test_a_parked_run_that_moves_by_itself_takes_a_free_slot_or_waits_for_one() -> None:
    releases: list[asyncio.Future[None]] = []

    async def function(host: Host) -> str:
        if host.run_id == "run_2":
            await blocked(host)
        outside = asyncio.get_running_loop().create_future()
        releases.append(outside)
        waiter = asyncio.create_task(host.wait("w", EventWait("e")))
        await outside
        await host.step(call(passing))
        waiter.cancel()
        return "done"

    engine = PaperEngine(Program(function), slots=1)
    run = await parked(engine)
    engine.start("run_2")
    releases[0].set_result(None)
    await quiet(engine)
    assert run.written[-1].__class__.__name__ == "WaitOpened"
    engine.runner.handle(Fence("run_2", 1))
    assert await finished(engine) == "done"
    assert engine.runner.accepted == 2


async def test_frames_for_a_run_that_is_not_here_are_answered_unknown() -> None:
    engine = PaperEngine(Program(waiting))
    engine.runner.handle(Wake("run_9", 4, (), slot=True))
    engine.runner.handle(Cancel("run_9", 4, 1, 0))
    assert engine.returned == [Return("run_9", 4, "unknown")] * 2
    engine.runner.handle(Ack("run_9", 4, 1))
    engine.runner.handle(Fence("run_9", 4))


async def test_a_cancelled_parked_run_takes_a_slot_to_clean_up() -> None:
    engine = PaperEngine(Program(waiting))
    run = await parked(engine)
    engine.runner.handle(Cancel("run_1", 1, 1, 1000, "stop"))
    run.entries.append(due(1))  # stands for the engine's own entry, so that it may be marked
    assert await finished(engine) == CancelledOutcome("stop")


@pytest.mark.parametrize("said", ["a frame", "a slot", "a hello"])
async def test_a_run_that_left_its_parking_place_by_itself_is_shown_as_parked_until_the_engine_can_know(
    said: str,
) -> None:
    outside, again = [asyncio.get_running_loop().create_future() for _ in range(2)]

    async def function(host: Host) -> str:
        waiter = asyncio.create_task(host.wait("w", EventWait("e")))
        await outside
        timer = asyncio.create_task(asyncio.sleep(60))  # so that it does not park again
        await again
        await host.step(call(passing))
        timer.cancel()
        waiter.cancel()
        return "done"

    engine = PaperEngine(Program(function))
    await parked(engine)
    outside.set_result(None)
    await until(lambda: engine.runner.held()[0].state == "running")
    assert engine.runner.shown()[0].state == "parked"
    match said:
        case "a slot":
            engine.runner.handle(Wake("run_1", 1, (), slot=True))
        case "a hello":
            engine.runner.introduce()
        case _:
            again.set_result(None)
            await until(lambda: not engine.runner.held() or engine.runner.held()[0].last_seq > 1)
    assert engine.runner.shown() == engine.runner.held()


async def test_the_longest_parked_run_leaves_when_there_are_too_many() -> None:
    engine = PaperEngine(Program(waiting), resident_max=1)
    await parked(engine, "run_1")
    await parked(engine, "run_2")
    await quiet(engine)
    assert engine.returned == [Return("run_1", 1, "evicted")]
    assert [held.run for held in engine.runner.held()] == ["run_2"]
    await engine.runner.close()


async def test_a_run_that_parked_for_too_long_leaves() -> None:
    engine = PaperEngine(Program(waiting), park_ttl_ms=5)
    await parked(engine)
    await until(lambda: engine.returned)
    assert engine.runner.held() == ()


async def test_a_parked_run_does_not_leave_before_its_frames_are_durable() -> None:
    engine = PaperEngine(Program(waiting), resident_max=0, auto=False)
    engine.start()
    await quiet(engine)
    assert engine.returned == []
    engine.store()
    assert engine.returned == [Return("run_1", 1, "evicted")]
    await engine.runner.close()


# -- frames


async def test_a_run_that_ended_is_held_until_its_last_frame_is_durable() -> None:
    async def function(host: Host) -> None:
        await host.step(call(passing))

    engine = PaperEngine(Program(function), auto=False)
    engine.start()
    await quiet(engine)
    assert engine.runner.held() == (Held("run_1", 1, 1, 0, 0, "ended"),)
    assert engine.runner.free == engine.slots
    engine.store()
    assert engine.runner.held() == ()


async def test_unacknowledged_frames_are_sent_again_in_order() -> None:
    async def large() -> bytes:
        return bytes(1_000)

    async def function(host: Host) -> None:
        await host.step(call(large))
        await host.step(call(large))
        await blocked(host)

    engine = PaperEngine(Program(function, checkpoint=Setting.PIPELINED), auto=False)
    engine.start()
    await quiet(engine)
    sent = [frame.seq for frame in engine.sent if isinstance(frame, Checkpoint)]
    engine.sent.clear()
    engine.runner.resend()
    assert [frame.seq for frame in engine.sent if isinstance(frame, Checkpoint)] == sent == [1, 2]
    engine.sent.clear()
    engine.runner.handle(Ack("run_1", 1, 1, resend=True))
    assert [frame.seq for frame in engine.sent if isinstance(frame, Checkpoint)] == [2]
    await engine.runner.close()


async def test_acknowledgements_of_another_epoch_or_of_frames_never_sent_change_nothing() -> None:
    engine = PaperEngine(Program(waiting), auto=False)
    engine.start()
    await quiet(engine)
    engine.runner.handle(Ack("run_1", 7, 1))
    engine.runner.handle(Ack("run_1", 1, 99))
    assert engine.runner.held()[0].acked_seq == 0
    await engine.runner.close()


async def test_a_fenced_run_is_forgotten_and_sends_nothing_more() -> None:
    engine = PaperEngine(Program(waiting))
    run = await parked(engine)
    frames = len(run.segments)
    engine.runner.handle(Fence("run_1", 1))
    await quiet(engine)
    assert engine.runner.held() == ()
    assert len(run.segments) == frames
    assert engine.returned == []


async def test_no_body_starts_without_a_lease() -> None:
    ran: list[int] = []

    async def function(host: Host) -> None:
        async def body() -> None:
            ran.append(1)

        await host.step(call(body))

    engine = PaperEngine(Program(function))
    engine.may_start = False
    engine.start()
    await quiet(engine)
    assert ran == []
    engine.may_start = True
    engine.runner.nudge()
    await finished(engine)
    assert ran == [1]


async def test_a_body_that_was_about_to_begin_when_the_lease_ran_out_waits_for_the_next_one() -> None:
    ran: list[str] = []

    async def function(host: Host) -> None:
        async def body(name: str) -> None:
            ran.append(name)
            engine.may_start = False

        await asyncio.gather(host.step(call(body, "one")), host.step(call(body, "two")))

    engine = PaperEngine(Program(function))
    engine.start()
    await quiet(engine)
    assert ran == ["one"]
    engine.may_start = True
    engine.runner.nudge()
    await finished(engine)
    assert ran == ["one", "two"]


# -- the way out


async def test_a_drain_lets_bodies_end_and_hands_every_run_back() -> None:
    release: list[asyncio.Event] = []

    async def function(host: Host) -> None:
        async def slow() -> None:
            release.append(asyncio.Event())
            await release[0].wait()

        if host.run_id == "run_2":
            await waiting(host)
        await host.step(call(slow))
        await host.step(call(passing))

    engine = PaperEngine(Program(function))
    run = engine.start()
    other = await parked(engine, "run_2")
    draining = asyncio.create_task(engine.runner.drain())
    await quiet(engine)
    assert not draining.done()
    assert engine.runner.unfinished() == (RunRef("run_1", 1),)
    release[0].set()
    await draining
    await quiet(engine)
    assert run.outcome == HandedBack("the worker stops")
    assert [entry.key for entry in run.written] == ["slow@0#0"]  # type: ignore[union-attr]
    assert engine.returned == [Return("run_2", 1, "evicted")]
    assert other.outcome == Parked()
    assert engine.runner.unfinished() == ()


async def test_a_run_whose_last_body_ends_during_a_drain_completes() -> None:
    release: list[asyncio.Event] = []

    async def function(host: Host) -> None:
        async def slow() -> None:
            release.append(asyncio.Event())
            await release[0].wait()

        await host.step(call(slow))

    engine = PaperEngine(Program(function))
    run = engine.start()
    await quiet(engine)
    draining = asyncio.create_task(engine.runner.drain())
    release[0].set()
    await draining
    await quiet(engine)
    assert isinstance(run.outcome, RunCompleted)


async def test_nothing_is_accepted_during_a_drain() -> None:
    engine = PaperEngine(Program(waiting))
    await engine.runner.drain()
    engine.runner.handle(Assign("run_1", 1, "app/fn", 1, 1))
    assert engine.returned == [Return("run_1", 1, "draining")]


async def test_closing_ends_everything_without_a_frame() -> None:
    engine = PaperEngine(Program(blocked))
    run = engine.start()
    await quiet(engine)
    await engine.runner.close()
    assert run.segments == []
    assert engine.runner.held() == ()
    assert engine.runner.free == engine.slots


async def test_a_halted_run_ends_its_step_and_is_handed_back_and_the_others_go_on() -> None:
    release: list[asyncio.Event] = []

    async def function(host: Host) -> None:
        async def slow() -> None:
            release.append(asyncio.Event())
            await release[-1].wait()

        if host.run_id == "run_2":
            await waiting(host)
        await host.step(call(slow))
        await host.step(call(passing))

    engine = PaperEngine(Program(function), slots=3)
    run, beside = engine.start(), engine.start("run_3")
    other = await parked(engine, "run_2")
    for id, epoch in (("run_1", 7), ("run_1", 1), ("run_1", 1), ("run_2", 1), ("run_4", 1)):
        engine.runner.handle(Halt(id, epoch))
    await quiet(engine)
    assert [one.outcome for one in (run, beside)] == [None, None]
    for event in release:
        event.set()
    await quiet(engine)
    assert run.outcome == HandedBack("the run is paused")
    assert [entry.key for entry in run.written] == ["slow@0#0"]  # type: ignore[union-attr]
    assert (engine.returned, other.outcome) == ([], Parked()), "what is parked may stay"
    assert isinstance(beside.outcome, RunCompleted)


async def test_a_run_that_was_sent_away_while_slots_are_given_out_gets_none() -> None:
    outside: dict[str, asyncio.Future[Any]] = {}

    async def moved_from_outside(host: Host) -> None:
        outside[host.run_id] = asyncio.get_running_loop().create_future()
        wait: asyncio.Future[Any] = asyncio.ensure_future(host.wait("w", EventWait("e")))
        await asyncio.wait({wait, outside[host.run_id]}, return_when=asyncio.FIRST_COMPLETED)
        wait.cancel()
        await asyncio.wait({wait})
        if host.run_id == "run_1":
            await host.wait("again", EventWait("e"))

    async def busy(host: Host) -> None:
        outside[host.run_id] = asyncio.get_running_loop().create_future()
        await outside[host.run_id]

    now_ms = [1_000]
    programs = (Program(moved_from_outside, id="app/moved"), Program(busy, id="app/busy"))
    engine = PaperEngine(*programs, slots=2, park_ttl_ms=60_000, clock_ms=lambda: now_ms[0])
    for run, function in (("run_1", "moved"), ("run_2", "moved"), ("run_3", "busy"), ("run_4", "busy")):
        engine.start(run, f"app/{function}")
        await quiet(engine)
    outside["run_1"].set_result(None)
    outside["run_2"].set_result(None)
    await quiet(engine)  # both have moved, and wait for a slot; the code of the second one is at its end
    now_ms[0] += 61_000  # the first one parks again, which sends away whoever has been parked for that long
    outside["run_3"].set_result(None)
    outside["run_4"].set_result(None)
    await until(lambda: Return("run_2", 1, "evicted") in engine.returned)
    await quiet(engine)
    assert engine.runner.free == engine.slots
    await engine.runner.close()


async def test_a_body_that_ends_after_its_run_has_gone_harms_nobody() -> None:
    async def slow() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0.01)

    async def function(host: Host) -> None:
        await host.step(call(slow))

    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    engine = PaperEngine(Program(function))
    engine.start()
    await quiet(engine)
    engine.runner.handle(Fence("run_1", 1))
    await until(lambda: engine.runner.free == engine.slots)
    await engine.runner.close()
    gc.collect()
    assert troubles == []

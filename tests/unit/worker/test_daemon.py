"""A worker's life against the real session of an engine, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from onward import App, Context, step
from onward.app import manifests
from onward.checkpoint import Checkpoint as Setting
from onward.connection.conversation import Profile
from onward.connection.link import Refused
from onward.daemon import Daemon
from onward_protocol.busy_poll import BusyPoll
from onward_protocol.codec import decode_entries
from onward_protocol.holdings import Difference
from onward_protocol.messages import (
    Ack,
    Beat,
    Bye,
    CallbackWait,
    Checkpoint,
    Drain,
    Fence,
    GoAway,
    HandedBack,
    Hello,
    Parked,
    Return,
    RunCompleted,
    RunRef,
    StepDone,
    WaitOpened,
)
from onward_protocol.mirror import Mirror

from tests.support import Network, VirtualLoop, simulate
from tests.unit.worker.engine_end import Dock, assign, garbage, now_ms

app = App("shop")
gates: dict[str, asyncio.Event] = {}
started: list[str] = []


@step
async def work(name: str) -> str:
    started.append(name)
    if name in gates:
        await gates[name].wait()
    return name


@app.function(list[str])
async def chain(ctx: Context[list[str]]) -> int:
    for name in ctx.data:
        await work(name)
    return len(ctx.data)


@app.function(list[str], checkpoint=Setting.PERFORMANT)
async def buffered(ctx: Context[list[str]]) -> None:
    for name in ctx.data:
        await work(name)


@app.function(str)
async def plain(ctx: Context[str]) -> None:
    """Reaches its step by an await of its own: nothing of the run waits for the engine."""
    await gates["plain"].wait()
    await work(ctx.data)


@app.function(str)
async def review(ctx: Context[str]) -> None:
    _ = await ctx.callback(bool)


@app.function(str)
async def nap(ctx: Context[str]) -> None:
    await ctx.sleep("1h")


Story = Callable[[Dock, Daemon], Awaitable[None]]


def tell(
    story: Story,
    *,
    slots: int = 2,
    drain_ms: int = 25_000,
    park_ttl_ms: int = 600_000,
    busy_poll: BusyPoll | None = None,
) -> None:
    """Run a story with a worker that dials in; whatever it leaves running is ended."""

    async def main(network: Network) -> None:
        dock = Dock()
        profile = Profile(instance="wrk_1", apps=manifests(app.functions.values()), slots=slots, url="http://dialled")
        daemon = Daemon(
            app.functions,
            profile,
            dial=dock.dial,
            uniform=random.Random(1).uniform,
            drain_ms=drain_ms,
            park_ttl_ms=park_ttl_ms,
            busy_poll=busy_poll,
        )
        living = asyncio.create_task(daemon.run())
        try:
            await story(dock, daemon)
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

    gates.clear()
    started.clear()
    simulate(main)


async def until(condition: Callable[[], bool]) -> None:
    """Let virtual time go on until it is true."""
    while not condition():  # noqa: ASYNC110 - what is waited for is the product's own state
        await asyncio.sleep(0.001)


def test_a_run_goes_from_its_assignment_to_its_result() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        first = await peer.next(Checkpoint)
        last = first if first.outcome else await peer.next(Checkpoint)
        assert isinstance(last.outcome, RunCompleted)
        assert started == ["a"]

    tell(story)


@pytest.mark.parametrize(("told", "begins"), [("", "http://dialled/c/"), ("https://public", "https://public/c/")])
def test_callbacks_are_where_the_engine_says_or_else_where_it_was_dialled(told: str, begins: str) -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome(callback_url=told)
        peer.send(assign("run_1", "shop/review", "x"))
        [entry] = decode_entries((await peer.next(Checkpoint)).entries)
        assert isinstance(entry, WaitOpened)
        assert isinstance(entry.wait, CallbackWait)
        assert entry.wait.url == begins + entry.wait.token
        assert len(entry.wait.token) == 43

    tell(story)


def test_what_becomes_ready_together_travels_together() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = gates["b"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]), assign("run_2", "shop/chain", ["b"]))
        await until(lambda: len(started) == 2)
        gates["a"].set()
        await peer.next(Checkpoint)
        assert {frame.run for frame in peer.messages[-1] if isinstance(frame, Checkpoint)} == {"run_1", "run_2"}

    tell(story)


def test_it_beats_every_five_seconds() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        at_ms: list[int] = []
        for _ in range(4):
            await peer.next(Beat)
            at_ms.append(now_ms())
        assert [after - before for before, after in pairwise(at_ms)] == [5_000] * 3

    tell(story)


def test_a_slot_that_becomes_free_is_offered_at_once() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        assert (await peer.next(Beat)).granted == 2
        began_ms = now_ms()
        peer.send(assign("run_1", "shop/chain", []))
        frame = await peer.next(Checkpoint, lambda frame: frame.outcome is not None)
        peer.send(Ack(frame.run, 1, frame.seq))
        assert (await peer.next(Beat)).granted == 3
        assert now_ms() - began_ms < 100

    tell(story)


def test_after_a_lost_connection_it_resumes_its_session_and_sends_again_what_was_not_acknowledged() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome("secret", 7)
        peer.send(assign("run_1", "shop/chain", ["a"]))
        sent = await peer.next(Checkpoint)
        peer.wire.cut()
        second = await dock.accept()
        hello = await second.next(Hello)
        second.session.welcome("secret", 8)
        second.flush()
        assert (hello.session, hello.generation) == ("secret", 7)
        assert [(item.run, item.epoch, item.acked_seq) for item in hello.held] == [("run_1", 1, 0)]
        assert await second.next(Checkpoint) == sent
        assert started == ["a"]

    tell(story)


def test_a_parked_run_that_leaves_the_memory_before_the_welcome_is_reported_after_it() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/nap", "now"))
        parked = await peer.next(Checkpoint, lambda frame: isinstance(frame.outcome, Parked))
        peer.send(Ack("run_1", 1, parked.seq))
        peer.wire.cut()
        second = await dock.accept()
        await asyncio.sleep(2)
        hello = await second.welcome("secret", 2)
        assert [item.run for item in hello.held] == ["run_1"]
        async with asyncio.timeout(1):
            assert await second.next(Return) == Return("run_1", 1, "evicted")

    tell(story, park_ttl_ms=1_000)


def test_the_first_attempt_after_a_loss_is_immediate_and_it_never_stops_trying() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        await asyncio.sleep(10)
        dock.refuse(1_000)
        lost_ms = now_ms()
        peer.wire.cut()
        await (await dock.accept()).welcome()
        attempts = [at_ms - lost_ms for at_ms in dock.dialled_at_ms[1:]]
        assert attempts[0] == 0
        assert sum(1 for at_ms in attempts if at_ms < 5_000) > 12
        assert now_ms() - lost_ms > 3_600_000
        await until(lambda: daemon.state == "connected")

    tell(story)


def test_while_the_connection_is_gone_running_steps_end_but_none_starts() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = gates["plain"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]), assign("run_2", "shop/plain", "b"))
        await until(lambda: started == ["a"])
        dock.refuse(20)
        peer.wire.cut()
        await asyncio.sleep(0.8)  # the grace is 1 s; a quarter of it is for a slow clock
        gates["a"].set()
        second = await dock.accept()
        hello = await second.welcome()
        assert started == ["a"]
        assert {item.run: item.last_seq > 0 for item in hello.held} == {"run_1": True, "run_2": False}
        await until(lambda: started == ["a", "b"])

    tell(story)


def test_after_a_reconnect_no_step_starts_before_the_engine_has_said_whose_run_it_is() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["plain"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/plain", "b"))
        await asyncio.sleep(1)
        peer.wire.cut()
        second = await dock.accept()
        await second.next(Hello)
        second.session.welcome("secret", 2)
        second.flush()
        gates["plain"].set()
        await asyncio.sleep(1)
        assert started == []
        second.send(Ack("run_1", 1, 0, resend=True))
        await until(lambda: started == ["b"])

    tell(story)


def test_a_run_that_went_to_somebody_else_meanwhile_stops() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a", "b"]))
        await until(lambda: started == ["a"])
        peer.wire.cut()
        second = await dock.accept()
        await second.next(Hello)
        second.session.welcome("secret", 2)
        second.send(Fence("run_1", 1))
        gates["a"].set()
        await asyncio.sleep(30)
        assert started == ["a"]
        assert not [frame for frame in second.inbox if isinstance(frame, Checkpoint)]

    tell(story)


def test_without_answered_beats_no_step_starts_after_twelve_seconds() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a", "b"]))
        await until(lambda: started == ["a"])
        peer.is_mute = True
        await asyncio.sleep(12.5)
        gates["a"].set()
        frame = await peer.next(Checkpoint)
        peer.say(Ack("run_1", 1, frame.seq))
        await asyncio.sleep(1)
        assert started == ["a"]
        peer.flush()  # the answers to its beats
        await until(lambda: started == ["a", "b"])

    tell(story)


def test_an_engine_that_says_nothing_for_fifteen_seconds_is_left() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        began_ms = now_ms()
        await dock.accept()
        assert now_ms() - began_ms == 15_000
        assert peer.wire.closed_with == 4408

    tell(story)


def test_an_engine_that_takes_no_bytes_is_left_too() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        began_ms = now_ms()
        await asyncio.sleep(1)
        peer.wire.is_stuck = True
        await dock.accept()
        assert now_ms() - began_ms == 15_000

    tell(story)


def test_a_blocked_event_loop_shows_in_the_next_beat() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        answering = asyncio.create_task(peer.next(Beat, lambda beat: beat.lag_ms > 0))
        await asyncio.sleep(7)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.stall(6)
        assert (await answering).lag_ms == 3_000

    tell(story)


def test_the_engine_gets_the_whole_list_when_it_asks() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        await until(lambda: started == ["a"])
        peer.session.mirror = Mirror()
        difference = await peer.next(Difference)
        assert [item.run for item in difference.strange] == ["run_1"]

    tell(story)


def test_garbage_ends_the_connection_but_not_the_worker() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        peer.wire.down.put_nowait(garbage())
        await (await dock.accept()).welcome()
        assert peer.wire.closed_with == 4400

    tell(story)


def test_an_engine_that_refuses_for_good_ends_the_worker_with_its_own_words() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.next(Hello)
        peer.session.refuse("version", "upgrade the worker")
        peer.flush()
        await until(lambda: daemon.state == "stopped")

    with pytest.raises(Refused, match="upgrade the worker") as caught:
        tell_and_see(story)
    assert caught.value.code == "E0403"


def tell_and_see(story: Story) -> None:
    """Like `tell`, but raise what the daemon raised."""

    async def main(network: Network) -> None:
        dock = Dock()
        profile = Profile(instance="wrk_1", apps=manifests(app.functions.values()), slots=2)
        daemon = Daemon(app.functions, profile, dial=dock.dial, uniform=random.Random(1).uniform)
        living = asyncio.create_task(daemon.run())
        await story(dock, daemon)
        await living

    simulate(main)


def test_an_engine_that_is_not_ready_says_when_to_come_back() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.next(Hello)
        peer.session.refuse("busy", "too many at once", retry_after_ms=4_000)
        peer.flush()
        await (await dock.accept()).welcome()
        assert 4_000 <= dock.dialled_at_ms[1] - dock.dialled_at_ms[0] <= 5_000

    tell(story)


def test_when_the_engine_goes_away_the_next_connection_is_there_before_the_old_one_ends() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        await until(lambda: started == ["a"])
        peer.send(GoAway(2_000))
        second = await dock.accept()
        assert not peer.is_over
        assert dock.dialled_at_ms[1] - dock.dialled_at_ms[0] >= 2_000
        hello = await second.welcome("secret", 2)
        assert [item.run for item in hello.held] == ["run_1"]
        said_to_the_old = peer.wire.up.qsize()
        gates["a"].set()
        assert (await second.next(Checkpoint)).run == "run_1"
        await second.next(Beat, lambda beat: beat.n > 5)
        assert peer.wire.up.qsize() == said_to_the_old
        peer.wire.cut()
        await asyncio.sleep(1)
        assert len(dock.dialled_at_ms) == 2

    tell(story)


def test_a_drain_finishes_the_running_step_hands_the_run_back_and_says_goodbye() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a", "b"]))
        await until(lambda: started == ["a"])
        daemon.drain()
        await peer.next(Drain)
        assert daemon.state == "draining"
        gates["a"].set()
        last = await peer.next(Checkpoint, lambda frame: frame.outcome is not None)
        assert isinstance(last.outcome, HandedBack)
        peer.send(Ack("run_1", 1, last.seq))
        assert (await peer.next(Bye)).unfinished == ()
        await until(lambda: daemon.state == "stopped")
        assert started == ["a"]

    tell(story)


def test_a_worker_that_gives_its_steps_up_has_sent_what_was_finished_before_it_says_goodbye() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["c"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/buffered", ["a", "b", "c"]))
        await until(lambda: started == ["a", "b", "c"])
        daemon.abandon()
        frame = await peer.next(Checkpoint)
        assert [entry.key for entry in decode_entries(frame.entries) if isinstance(entry, StepDone)] == [
            "work@0#0",
            "work@0#1",
        ]
        assert (await peer.next(Bye)).unfinished == (RunRef("run_1", 1),)

    tell(story)


def test_goodbye_waits_until_the_last_result_is_durable() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        last = await peer.next(Checkpoint, lambda frame: frame.outcome is not None)
        daemon.drain()
        await asyncio.sleep(3)
        assert daemon.state == "draining"
        peer.wire.cut()
        second = await dock.accept()
        await second.welcome()
        assert await second.next(Checkpoint, lambda frame: frame.outcome is not None) == last
        second.send(Ack("run_1", 1, last.seq))
        await second.next(Bye)

    tell(story)


def test_an_idle_worker_leaves_at_once_even_without_an_engine() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        dock.refuse(1_000)
        await asyncio.sleep(3)
        began_ms = now_ms()
        daemon.drain()
        await until(lambda: daemon.state == "stopped")
        assert now_ms() - began_ms < 10

    tell(story)


def test_a_parked_run_is_returned_by_a_drain() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/nap", "x"))
        frame = await peer.next(Checkpoint, lambda frame: isinstance(frame.outcome, Parked))
        peer.send(Ack("run_1", 1, frame.seq))
        daemon.drain()
        assert (await peer.next(Return)).reason == "evicted"
        assert (await peer.next(Bye)).unfinished == ()

    tell(story)


def test_a_step_that_outlasts_the_drain_is_named_in_the_goodbye() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        await until(lambda: started == ["a"])
        began_ms = now_ms()
        daemon.drain()
        assert (await peer.next(Bye)).unfinished == (RunRef("run_1", 1),)
        assert now_ms() - began_ms == 2_000

    tell(story, drain_ms=2_000)


def test_a_second_request_ends_the_drain_at_once() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        await until(lambda: started == ["a"])
        daemon.drain()
        await asyncio.sleep(1)
        began_ms = now_ms()
        daemon.abandon()
        assert (await peer.next(Bye)).unfinished == (RunRef("run_1", 1),)
        assert now_ms() - began_ms < 10

    tell(story)


def test_a_drain_is_told_to_every_engine_that_is_met_on_the_way_out() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        await until(lambda: started == ["a"])
        daemon.drain()
        await peer.next(Drain)
        peer.wire.cut()
        second = await dock.accept()
        await second.welcome()
        await second.next(Drain)

    tell(story)


def test_nothing_is_taken_on_during_a_drain() -> None:
    async def story(dock: Dock, daemon: Daemon) -> None:
        gates["a"] = asyncio.Event()
        peer = await dock.accept()
        await peer.welcome()
        peer.send(assign("run_1", "shop/chain", ["a"]))
        await until(lambda: started == ["a"])
        daemon.drain()
        await asyncio.sleep(0.1)
        peer.send(assign("run_2", "shop/chain", ["b"]))  # it crossed the Drain
        returned = await peer.next(Return)
        assert (returned.run, returned.reason) == ("run_2", "draining")

    tell(story)


# -- busy polling


class Awake:
    """Counts the turns that a worker's loop is asked for; time stands still between them."""

    def __init__(self) -> None:
        self.turns: list[Callable[[], None]] = []
        self.poll = BusyPoll(1_000, clock_us=lambda: 0, call_soon=self.turns.append)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another run"])
def test_a_worker_stays_awake_for_a_lone_run_only(beside: bool) -> None:
    awake = Awake()

    async def story(dock: Dock, daemon: Daemon) -> None:
        peer = await dock.accept()
        await peer.welcome()
        if beside:
            gates["stays"] = asyncio.Event()
            peer.send(assign("run_2", "shop/chain", ["stays"]))
        peer.send(assign("run_1", "shop/chain", ["a"] * 20))
        for seq in range(1, 15):
            await peer.next(Checkpoint)
            peer.send(Ack("run_1", 1, seq))
        await peer.next(Checkpoint)

    tell(story, busy_poll=awake.poll)
    assert len(awake.turns) == (0 if beside else 1)

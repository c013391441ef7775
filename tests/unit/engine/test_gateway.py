"""How workers come, stay and go: nothing is lost, nobody is stuck, nobody disturbs the others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest
from onward_engine.pipe import Pipe
from onward_engine.settings import Bounds
from onward_engine.store.port import Admit
from onward_protocol.codec import encode, encode_entries, encode_message
from onward_protocol.errors import CloseCode
from onward_protocol.limits import VERSIONS
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Assign,
    Bye,
    Checkpoint,
    ConcurrencyLimit,
    Drain,
    Fence,
    FunctionManifest,
    GoAway,
    Hello,
    Refuse,
    Return,
    RunRef,
    StepDone,
    Wake,
)

from tests.support import Network, VirtualLoop, simulate
from tests.unit.engine.peer import NIL, SHOP, Peer, engine, park, send
from tests.unit.engine.stores import Gated

SMALL = Bounds(commit_ops_max=5, allowance_bytes=1_000)


def test_an_app_is_in_memory_once_however_many_workers_have_it() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            for name in ("a", "b", "c"):
                await Peer(running, instance=f"wrk_{name}").connect()
            hellos = [one.session.hello for one in running.connections]
            assert len({id(app) for hello in hellos if hello for app in hello.apps}) == 1

    simulate(main)


def test_a_worker_that_comes_back_within_the_grace_goes_on_where_it_was() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.report(run, epoch, 1, StepDone("a", NIL))
            await worker.next(Ack, run)
            worker.cut()
            await worker.gone()
            await asyncio.sleep(0.9)
            await worker.connect()
            ack = await worker.next(Ack, run)
            assert (ack.epoch, ack.seq, ack.resend) == (epoch, 1, True)
            worker.report(run, epoch, 2, StepDone("b", NIL))
            assert (await worker.next(Ack, run)).seq == 2

    simulate(main)


def test_after_the_grace_another_worker_goes_on_and_the_first_is_fenced() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            first = await Peer(running, slots=9, instance="wrk_first").connect()
            second = await Peer(running, instance="wrk_second").connect()
            run = await send(running)
            epoch = (await first.next(Assign, run)).epoch
            first.report(run, epoch, 1, StepDone("a", NIL))
            first.cut()
            at_ms = running.clock.monotonic_ms()
            assign = await second.next(Assign, run)
            waited_ms = running.clock.monotonic_ms() - at_ms
            assert (assign.epoch, len(assign.segments)) == (epoch + 1, 1)  # what arrived before the cut was kept
            assert 1_000 <= waited_ms <= 1_010
            await first.gone()
            await first.connect()
            assert (await first.next(Fence, run)).epoch == epoch

    simulate(main)


def test_a_worker_that_falls_silent_is_dead_after_15_seconds() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            silent = await Peer(running, slots=9, instance="wrk_silent").connect()
            run = await send(running)
            await silent.next(Assign, run)
            silent.session.lost(silent.now_ms)  # it beats no more, and its socket stays open
            other = await Peer(running, instance="wrk_other").connect()
            at_ms = running.clock.monotonic_ms()
            await other.next(Assign, run)
            assert 10_000 <= running.clock.monotonic_ms() - at_ms <= 16_100

    simulate(main)


def test_an_engine_that_was_stopped_for_a_while_does_not_take_its_workers_for_dead() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running, slots=9, instance="wrk_worker").connect()
            run = await send(running)
            await worker.next(Assign, run)
            worker.session.lost(worker.now_ms)  # what it says comes after the engine has looked at its clock
            other = await Peer(running, instance="wrk_other").connect()
            other.session.lost(other.now_ms)
            stall(20)
            at_ms = running.clock.monotonic_ms()
            await asyncio.sleep(1)
            assert len(running.connections) == 2
            await worker.gone()
            assert running.clock.monotonic_ms() - at_ms >= 15_000

    simulate(main)


def stall(seconds: float) -> None:
    """Let time pass while nothing runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stall(seconds)


def test_a_newer_connection_of_a_worker_replaces_the_older_one() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            await worker.next(Assign, run)
            older = worker.pipe
            await worker.connect()
            assert (await worker.next(Ack, run)).resend
            assert older.close_code == CloseCode.SUPERSEDED
            assert [connection.generation for connection in running.connections] == [2]
            worker.report(run, 1, 1, StepDone("a", NIL))
            assert (await worker.next(Ack, run)).seq == 1

    simulate(main)


def test_two_processes_with_one_instance_id_do_not_steal_each_others_runs() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            first = await Peer(running, instance="wrk_same").connect()
            await asyncio.sleep(1)
            second = await Peer(running, instance="wrk_same").connect()
            assert (await second.next(Refuse)).code == "duplicate_instance"
            assert (await first.complete(await send(running))).seq == 1

    simulate(main)


def test_a_worker_that_never_got_its_welcome_may_try_again() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            hello = Hello(VERSIONS, "wrk_a", slots=4, apps=(SHOP,))
            lost = Pipe()
            running.gateway.attach(lost)
            lost.to_engine(encode_message([encode(hello)]))
            await asyncio.sleep(0.1)
            worker = await Peer(running, instance="wrk_a").connect()
            assert worker.session.generation == 2

    simulate(main)


def test_an_engine_that_was_started_again_takes_back_what_its_workers_hold() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as first:
            worker = await Peer(first).connect()
            run = await send(first)
            epoch = (await worker.next(Assign, run)).epoch
        async with engine(store) as second:
            worker.engine = second
            await worker.connect()
            worker.report(run, epoch, 1, StepDone("a", NIL))
            acks = [await worker.next(Ack, run), await worker.next(Ack, run)]
            assert [(ack.epoch, ack.seq) for ack in acks] == [(epoch, 0), (epoch, 1)]

    simulate(main)


def test_what_a_starting_worker_does_not_hold_any_more_is_free_at_once() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.cut()
            await worker.gone()
            worker.holdings.drop(run)
            await worker.connect()
            assert (await worker.next(Assign, run)).epoch == epoch + 1

    simulate(main)


def test_a_frame_of_an_older_connection_is_dropped() -> None:
    class Stuck(Pipe):
        @property
        def is_writable(self) -> bool:
            return False

    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            older, worker.pipe.__class__ = worker.pipe, Stuck
            await send(running)  # an Assign that cannot be written, so the connection stays open
            await worker.connect()
            frame = Checkpoint(run, epoch, 1, encode_entries([StepDone("a", NIL)]))
            older.to_engine(encode_message([encode(frame)]))
            await asyncio.sleep(0.1)
            stored = await running.store.run(run)
            assert stored is not None
            assert stored.seq == 0

    simulate(main)


def test_a_worker_that_goes_while_it_is_greeted_is_not_given_work() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            pipe = Pipe()
            store.gate.clear()
            running.gateway.attach(pipe)
            pipe.to_engine(encode_message([encode(Hello(VERSIONS, "wrk_a", apps=(SHOP,)))]))
            await asyncio.sleep(0.1)
            pipe.abort()
            await asyncio.sleep(0.1)
            store.gate.set()
            await asyncio.sleep(0.1)
            assert len(running.connections) == 0

    simulate(main)


def test_work_that_was_queued_before_the_engine_started_finds_a_worker() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as first:
            await Peer(first, slots=0).connect()
            run = await send(first)
        async with engine(store) as second:
            worker = await Peer(second, instance="wrk_b").connect()
            await worker.next(Assign, run)

    simulate(main)


def test_a_frame_that_skips_one_is_not_stored_and_asked_for_again() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.report(run, epoch, 2, StepDone("b", NIL))
            ack = await worker.next(Ack, run)
            assert (ack.seq, ack.resend) == (0, True)
            for seq, key in ((1, "a"), (2, "b"), (2, "b")):
                worker.report(run, epoch, seq, StepDone(key, NIL))
            acks = [await worker.next(Ack, run) for _ in range(3)]
            assert [(ack.seq, ack.resend) for ack in acks] == [(1, False), (2, False), (2, False)]

    simulate(main)


def test_whoever_reports_a_run_that_is_not_its_own_any_more_is_fenced() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running, slots=1).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.send(Return(run, epoch, "full"))
            other = await Peer(running, instance="wrk_other").connect()
            await other.next(Assign, run)
            at_ms = running.clock.monotonic_ms()
            worker.report(run, epoch, 1, StepDone("a", NIL))
            assert (await worker.next(Fence, run)).epoch == epoch
            assert running.clock.monotonic_ms() == at_ms

    simulate(main)


def test_a_newer_protocol_is_refused_with_a_sentence() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = Peer(running)
            worker.hello = msgspec.structs.replace(worker.hello, versions=(VERSIONS[1] + 1, VERSIONS[1] + 3))
            await worker.connect()
            assert "upgrade the engine" in (await worker.next(Refuse)).message
            await worker.gone()

    simulate(main)


def test_a_function_that_cannot_be_honoured_is_refused_at_its_hello() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            broken = FunctionManifest("shop/order", concurrency=(ConcurrencyLimit(0),))
            worker = await Peer(running, apps=[AppManifest("shop", functions=(broken,))]).connect()
            assert "shop/order" in (await worker.next(Refuse)).message

    simulate(main)


def test_garbage_closes_its_own_connection_and_no_other() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            good = await Peer(running, instance="wrk_good").connect()
            bad = await Peer(running, instance="wrk_bad", slots=1).connect()
            bad.pipe.to_engine(b"\x93garbage")
            await bad.gone()
            assert bad.pipe.close_code == CloseCode.PROTOCOL
            assert (await good.complete(await send(running))).seq == 1

    simulate(main)


def test_entries_that_cannot_be_read_fail_their_run_by_name_and_the_connection_lives() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.report_raw(run, epoch, 1, b"\x93garbage")
            await worker.next(Ack, run)
            failed = await running.endings.wait(run)
            assert failed is not None
            assert failed.failure is not None
            assert failed.failure.type == "BadCheckpoint"
            assert (await worker.complete(await send(running))).seq == 1

    simulate(main)


def test_a_worker_that_says_goodbye_hands_its_runs_on_at_once() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            leaving = await Peer(running, slots=9, instance="wrk_leaving").connect()
            other = await Peer(running, instance="wrk_other").connect()
            run = await send(running)
            epoch = (await leaving.next(Assign, run)).epoch
            at_ms = running.clock.monotonic_ms()
            leaving.send(Bye((RunRef(run, epoch),)))
            await other.next(Assign, run)
            assert running.clock.monotonic_ms() - at_ms < 10
            await leaving.gone()

    simulate(main)


def test_a_draining_worker_gets_nothing_new_and_keeps_what_it_has() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.send(Drain("shutdown"))
            later = await send(running)
            worker.report(run, epoch, 1, StepDone("a", NIL))
            await worker.next(Ack, run)
            await asyncio.sleep(20)
            assert worker.holdings.get(later) is None

    simulate(main)


def test_a_worker_that_asks_to_rotate_is_told_when_nothing_more_will_come() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            worker.send(Drain("rotate"))
            await worker.next(GoAway)
            await send(running)
            await asyncio.sleep(1)
            assert len(worker.holdings) == 0
            await worker.connect()
            await worker.next(Assign)

    simulate(main)


def test_asking_twice_to_rotate_is_harmless_and_so_is_stopping_after_it() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            worker.send(Drain("rotate"))
            worker.send(Drain("rotate"))
            await worker.next(GoAway)
        assert worker.pipe.close_code == CloseCode.GOING_AWAY

    simulate(main)


def test_a_run_that_wakes_while_its_worker_begins_to_drain_goes_to_another() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            worker = await Peer(running, instance="wrk_draining").connect()
            run = await send(running)
            epoch = await park(worker, run)
            other = await Peer(running, instance="wrk_other").connect()
            store.closes_behind = Admit
            await store.closed.wait()
            worker.send(Drain("shutdown"))
            await asyncio.sleep(0.1)
            store.gate.set()
            assert (await other.next(Assign, run)).epoch == epoch + 1

    simulate(main)


def test_a_run_that_a_worker_cannot_take_is_queued_again() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.holdings.drop(run)
            worker.send(Return(run, epoch, "full"))
            assert (await worker.next(Assign, run)).epoch == epoch + 1

    simulate(main)


def test_an_assignment_that_the_worker_has_forgotten_is_found_by_its_digest() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.holdings.drop(run)
            assert (await worker.next(Assign, run)).epoch == epoch + 1

    simulate(main)


def test_a_wake_that_was_lost_with_its_socket_is_sent_again_with_its_slot() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running, slots=1).connect()
            run = await send(running)
            await park(worker, run)
            before = worker.holdings.get(run)
            assert before is not None
            await worker.next(Wake, run)
            worker.cut()
            await worker.gone()
            worker.holdings.put(before)  # the Wake never arrived
            await worker.connect()
            wake = await worker.next(Wake, run)
            assert (wake.slot, len(wake.entries)) == (True, 1)

    simulate(main)


def test_a_run_that_wakes_while_its_worker_is_away_waits_for_it() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = await park(worker, run, ms=100)
            worker.cut()
            await worker.gone()
            await asyncio.sleep(0.2)
            await worker.connect()
            wake = await worker.next(Wake, run)
            assert (wake.epoch, wake.slot) == (epoch, True)

    simulate(main)


def test_beats_are_answered_while_the_store_stalls() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            store.gate.clear()
            worker.report(run, epoch, 1, StepDone("a", NIL))
            await asyncio.sleep(60)
            assert worker.session.may_start(worker.now_ms)
            assert worker.pipe.close_code is None
            store.gate.set()
            await worker.next(Ack, run)

    simulate(main)


def test_a_flood_is_not_read_while_the_store_cannot_keep_up() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store, bounds=SMALL) as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            store.gate.clear()
            for seq in range(1, 101):
                worker.report(run, epoch, seq, StepDone(f"a{seq}", NIL))
            await asyncio.sleep(10)
            (connection,) = running.connections
            assert connection.uncommitted_bytes < 5_000
            store.gate.set()
            while (await worker.next(Ack, run)).seq < 100:
                pass

    simulate(main)


@pytest.mark.parametrize("flood", [Return("run_nobody", 1, "full"), Checkpoint("run_nobody", 1, 1, b"no entries")])
def test_a_flood_of_frames_without_weight_is_not_read_either(flood: Return | Checkpoint) -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store, bounds=SMALL) as running:
            worker = await Peer(running).connect()
            store.gate.clear()
            for _frame in range(100):
                worker.send(flood)
                await asyncio.sleep(0.01)
            assert running.committer.queued < 20
            store.gate.set()

    simulate(main)


def test_a_full_queue_takes_no_lease_from_workers_that_do_not_flood() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store, bounds=replace(SMALL, commit_ops_max=1)) as running:
            worker = await Peer(running).connect()
            await asyncio.sleep(0.01)  # what its first beat causes is durable
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            store.gate.clear()
            for seq in range(1, 4):
                worker.report(run, epoch, seq, StepDone(f"a{seq}", NIL))
                await asyncio.sleep(0.1)
            await asyncio.sleep(60)
            assert running.committer.is_full
            assert worker.session.may_start(worker.now_ms)
            store.gate.set()

    simulate(main)

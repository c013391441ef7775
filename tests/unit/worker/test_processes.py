"""The pool of processes for steps: who waits, who is ended, and what that leaves behind."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest
from onward.attempt import StepAttempt
from onward.errors import StepFailed
from onward.host import Host
from onward.processes.elsewhere import Elsewhere
from onward.processes.inside import BEATS_MAX, Pulse
from onward.processes.parcels import Beat, Message, error_of, failed, pack, unpack
from onward.processes.pool import Pool
from onward.values.serde import decoder_for
from onward_protocol.messages import RunFailed, StepDone

from tests.support import crunching
from tests.support.paper_engine import PaperEngine, Program, call, finished, until
from tests.support.processes import is_alive, wait_for


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool of one process, for this test alone."""
    pool = Pool(1)
    monkeypatch.setattr("onward.processes.pool._pools", [pool])
    yield pool
    pool.close()


def away(fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
    target = Elsewhere(fn, "step 's'", decoder_for(Any))
    return call(target, *args, id="s", executor="process", **options)


def sleeping(tmp_path: Path, seconds: float = 60, **options: Any) -> Any:
    return away(crunching.sleeps.fn, str(tmp_path / "pids"), seconds, **options)


async def pids_of(tmp_path: Path) -> list[int]:
    """Wait until the body sleeps; return its process and the one that it has started."""
    file = tmp_path / "pids"
    await until(lambda: file.exists() and " " in file.read_text())
    return [int(pid) for pid in file.read_text().split()]


async def test_a_body_that_takes_too_long_is_ended_with_what_it_has_started(pool: Pool, tmp_path: Path) -> None:
    async def function(host: Host) -> Any:
        try:
            return await host.step(sleeping(tmp_path, timeout_ms=2_000))
        except StepFailed as error:
            return [error.type, error.message]

    engine = PaperEngine(Program(function), slots=1)
    engine.start()
    pids = await pids_of(tmp_path)
    type, message = await finished(engine)
    assert type == "StepTimeout"
    assert message.startswith("step 's' did not end within 2 s. ")
    await until(lambda: engine.runner.free == 1)
    await until(lambda: not any(map(is_alive, pids)))
    await engine.runner.close()


async def test_a_body_that_nobody_waits_for_any_more_is_ended(pool: Pool, tmp_path: Path) -> None:
    async def function(host: Host) -> Any:
        step = asyncio.ensure_future(host.step(sleeping(tmp_path)))
        await host.step(call(wait_for_pids, id="wait"))
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
        return "gone on"

    async def wait_for_pids() -> None:
        await pids_of(tmp_path)

    engine = PaperEngine(Program(function))
    engine.start()
    assert await finished(engine) == "gone on"
    pids = await pids_of(tmp_path)
    await until(lambda: not any(map(is_alive, pids)))
    await engine.runner.close()


async def test_what_a_body_has_started_ends_with_a_process_that_dies(pool: Pool, tmp_path: Path) -> None:
    """It would go on beside the next attempt."""

    async def function(host: Host) -> Any:
        with suppress(StepFailed):
            await host.step(sleeping(tmp_path))

    engine = PaperEngine(Program(function))
    engine.start()
    process, child = await pids_of(tmp_path)
    os.kill(process, signal.SIGKILL)
    await finished(engine)
    await until(lambda: not is_alive(child))
    await engine.runner.close()


def test_a_process_that_dies_in_the_middle_of_a_word_has_died(pool: Pool) -> None:
    process = pool.take()
    ours, theirs = Pipe()
    process._channel.close()
    process._channel = ours
    os.write(theirs.fileno(), b"\0\0\0\x64 only half of")
    theirs.close()
    assert list(process.messages()) == []
    process.end()


async def test_a_worker_that_stops_now_leaves_no_body_behind(pool: Pool, tmp_path: Path) -> None:
    async def function(host: Host) -> Any:
        return await host.step(sleeping(tmp_path))

    engine = PaperEngine(Program(function))
    engine.start()
    pids = await pids_of(tmp_path)
    await engine.runner.close()
    await until(lambda: not any(map(is_alive, pids)))


async def test_a_worker_that_drains_waits_for_the_body(pool: Pool, tmp_path: Path) -> None:
    async def function(host: Host) -> Any:
        return await host.step(sleeping(tmp_path, 0.3))

    engine = PaperEngine(Program(function))
    run = engine.start()
    await pids_of(tmp_path)
    await engine.runner.drain()
    assert [entry.output for entry in run.written if isinstance(entry, StepDone)] == [b"\xa5awake"]
    await engine.runner.close()


async def test_only_so_many_bodies_run_at_once_and_the_time_of_the_others_has_not_begun(pool: Pool) -> None:
    async def function(host: Host) -> Any:
        steps = [host.step(away(time.sleep, 1.2, timeout_ms=9_000)), host.step(away(os.getpid, timeout_ms=1_000))]
        return (await asyncio.gather(*steps))[1] != os.getpid()

    engine = PaperEngine(Program(function))
    engine.start()
    assert await finished(engine) is True
    await engine.runner.close()


async def test_the_time_that_a_process_needs_to_begin_does_not_count(pool: Pool) -> None:
    from tests.support.slow_module import quick

    async def function(host: Host) -> Any:
        return await host.step(away(quick, timeout_ms=900))

    engine = PaperEngine(Program(function))
    engine.start()
    assert await finished(engine) == "done"
    await engine.runner.close()


async def test_an_attempt_that_has_no_process_yet_can_be_given_up(pool: Pool, tmp_path: Path) -> None:
    async def function(host: Host) -> Any:
        first = asyncio.ensure_future(host.step(sleeping(tmp_path, 0.5)))
        second = asyncio.ensure_future(host.step(away(os.getpid)))
        async with asyncio.timeout(0.05):
            await second
        return await first

    engine = PaperEngine(Program(function))
    engine.start()
    outcome = await finished(engine)
    assert isinstance(outcome, RunFailed)
    assert outcome.failure.type == "TimeoutError"
    await engine.runner.close()


def test_a_process_without_work_ends_after_a_while() -> None:
    pool = Pool(1, idle_s=0.05)
    process = pool.take()
    pool.give_back(process)
    wait_for(lambda: not process.is_alive, "the process has ended")
    assert process.end() == 0


def test_a_process_that_died_without_work_is_replaced(pool: Pool) -> None:
    first = pool.take()
    pool.give_back(first)
    first.kill()
    wait_for(lambda: not first.is_alive, "it is dead")
    second = pool.take()
    assert second is not first
    assert second.is_alive
    pool.give_back(second)


def test_signs_of_life_that_come_too_quickly_wait_for_the_next_one() -> None:
    said = list[Message]()
    pulse = Pulse(said.append, b"")
    pulse.attempt = StepAttempt(id="s", _beat=pulse.beat)
    for row in range(10_000):
        pulse.attempt.heartbeat(row)
    assert BEATS_MAX <= len(said) < 10_000 / 2
    assert unpack(pulse.left()) == 9_999


def test_a_thread_that_a_body_has_left_behind_says_nothing_in_the_name_of_the_next() -> None:
    said = list[Message]()
    pulse = Pulse(said.append, b"")
    pulse.attempt = StepAttempt(id="s", _beat=pulse.beat)
    pulse.end()
    pulse.attempt.heartbeat("late")
    assert said == []


def test_details_that_were_changed_in_place_are_told_again() -> None:
    said = list[Message]()
    pulse, details = Pulse(said.append, pack([0], "details")), [0]
    pulse.attempt = StepAttempt(id="s", _beat=pulse.beat)
    pulse.attempt.heartbeat(details)
    details.append(1)
    pulse.attempt.heartbeat(details)
    assert [unpack(one.details) for one in said if isinstance(one, Beat)] == [None, [0, 1]]


def test_an_exception_with_arguments_of_its_own_keeps_its_class_and_fields() -> None:
    error = error_of(failed(crunching.Odd(3, hint="add one"), b""))
    assert isinstance(error, crunching.Odd)
    assert (str(error), error.hint) == ("3 is odd", "add one")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    def __reduce__(self) -> Any:
        raise RuntimeError


def test_an_exception_that_cannot_even_be_read_is_still_told() -> None:
    error = error_of(failed(Mute(), b""))
    assert type(error).__name__ == "Mute"
    assert "without a readable message" in str(error)

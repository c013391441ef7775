"""What the engine answers at once, and what the run says for people: how it looks on the wire."""

import asyncio
from itertools import pairwise

import msgspec
from onward.checkpoint import Checkpoint
from onward.host import Host
from onward_protocol.messages import (
    CallbackWait,
    Due,
    Failed,
    Failure,
    Parked,
    Progress,
    Returned,
    Sleep,
    Started,
    StepDone,
    Tagged,
    WaitClosed,
    WaitOpened,
    Wake,
)
from onward_protocol.messages import Checkpoint as Message

from tests.support.paper_engine import PaperEngine, Program, call, finished, quiet
from tests.support.timed_engine import TimedEngine, in_virtual_time


async def work(seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)


def word(token: str) -> bytes:
    """What the engine says of a callback that is open."""
    return msgspec.msgpack.encode((token, f"http://engine/c/{token}"))


def outcomes(engine: PaperEngine) -> list[object]:
    return [frame.outcome for frame in engine.sent if isinstance(frame, Message)]


async def starting(host: Host) -> object:
    entry = await host.start("spawn", "app/child", b"\x01")
    return entry.value if isinstance(entry, Returned) else getattr(entry, "failure", None)


async def test_a_run_does_not_park_for_an_answer_that_comes_at_once() -> None:
    engine = PaperEngine(Program(starting), auto=False)
    engine.start()
    await quiet(engine)
    assert outcomes(engine) == [None]
    engine.store()
    assert engine.runs["run_1"].written == [Started("spawn@0#0", "app/child", b"\x01")]
    engine.wake(lambda pos: Returned(pos, "spawn@0#0", b"\x05"))
    engine.auto = True
    assert await finished(engine) == b"\x05"


async def test_a_start_that_fails_is_the_functions_to_handle() -> None:
    engine = PaperEngine(Program(starting))
    engine.start()
    await quiet(engine)
    engine.wake(lambda pos: Failed(pos, "spawn@0#0", Failure("UnknownFunction", "nobody")))
    failure = await finished(engine)
    assert failure == ["UnknownFunction", "nobody", b"", ""]


async def test_a_start_that_was_not_stored_is_sent_again_and_one_that_was_is_not() -> None:
    engine = PaperEngine(Program(starting), auto=False)
    engine.start()
    await quiet(engine)
    engine.sent.clear()  # lost
    engine.restart()
    await quiet(engine)
    engine.store()
    engine.runs["run_1"].write(lambda pos: Returned(pos, "spawn@0#0", b"\x05"))  # the worker dies before it hears
    engine.restart()
    engine.auto = True
    assert await finished(engine) == b"\x05"
    assert [type(entry) for entry in engine.runs["run_1"].written] == [Started]


async def calling_back(host: Host) -> object:
    entry, answer = await host.callback("hook", "chance", None)
    assert isinstance(entry, Returned)
    await host.step(call(work))
    answered = await answer.wait()
    return [msgspec.msgpack.decode(entry.value)[0], getattr(answered, "value", None)]


async def test_the_code_learns_of_a_callback_when_it_stands_and_may_park_for_its_answer() -> None:
    engine = PaperEngine(Program(calling_back), callback_url=lambda: "http://engine")
    engine.start()
    await quiet(engine)
    run = engine.runs["run_1"]
    assert run.written == [WaitOpened("hook@0#0", CallbackWait("chance", None, "http://engine/c/chance"))]
    engine.wake(lambda pos: Returned(pos, "hook@0#0!open", word("chance")))
    await quiet(engine)
    assert run.outcome == Parked()
    engine.wake(lambda pos: Returned(pos, "hook@0#0", b"\x07"), slot=True)
    assert await finished(engine) == ["chance", b"\x07"]


async def test_a_replay_has_the_first_token_and_parks_for_the_same_callback() -> None:
    engine = PaperEngine(Program(calling_back))
    engine.start()
    await quiet(engine)
    engine.wake(lambda pos: Returned(pos, "hook@0#0!open", word("first")))
    await quiet(engine)
    run = engine.restart()
    await quiet(engine)
    assert run.outcome == Parked()
    engine.wake(lambda pos: Returned(pos, "hook@0#0", b"\x07"), slot=True)
    assert await finished(engine) == ["first", b"\x07"]
    assert [type(entry) for entry in run.written] == [WaitOpened, StepDone]


async def test_an_answer_that_comes_before_it_is_awaited_holds_up_nothing() -> None:
    engine = PaperEngine(Program(calling_back))
    engine.start()
    await quiet(engine)
    state = engine.runs["run_1"]
    opened = state.write(lambda pos: Returned(pos, "hook@0#0!open", word("t")))
    answered = state.write(lambda pos: Returned(pos, "hook@0#0", b"\x07"))
    engine.runner.handle(Wake("run_1", state.epoch, (opened, answered)))
    assert await asyncio.wait_for(finished(engine), 0.5) == ["t", b"\x07"]


async def giving_up(host: Host) -> str:
    opening = asyncio.create_task(host.callback("hook", "t", None))
    await host.step(call(work))
    opening.cancel()
    await host.step(call(work))
    return "done"


async def test_an_opening_that_is_given_up_is_closed_once_it_stands() -> None:
    engine = PaperEngine(Program(giving_up))
    engine.start()
    assert await finished(engine) == "done"
    kinds = [type(entry) for entry in engine.runs["run_1"].written]
    assert kinds == [WaitOpened, StepDone, WaitClosed, StepDone]


async def tagging(host: Host) -> None:
    host.tag({"customer": "42"})
    await host.step(call(work))
    host.tag({"paid": "yes"})
    await host.wait("nap", Sleep(60_000))


async def test_each_call_of_tag_is_stored_once() -> None:
    engine = PaperEngine(Program(tagging))
    engine.start()
    await quiet(engine)
    engine.restart()
    await quiet(engine)
    engine.wake(lambda pos: Due(pos, "nap@0#0"), slot=True)
    await finished(engine)
    tags = [entry for entry in engine.runs["run_1"].written if isinstance(entry, Tagged)]
    assert tags == [Tagged({"customer": "42"}, "tag@0#0"), Tagged({"paid": "yes"}, "tag@0#1")]


async def showing(host: Host) -> None:
    for number in range(100):
        host.show(bytes([number]))
        await host.step(call(work, 0.05))


def test_progress_is_sent_once_a_second_and_at_the_end_in_frames_of_its_own() -> None:
    async def play() -> TimedEngine:
        engine = TimedEngine(Program(showing, checkpoint=Checkpoint.PIPELINED))
        await engine.output()
        return engine

    frames = in_virtual_time(play).frames
    shown = [(frame.at_ms, frame.entries) for frame in frames if "Progress" in frame.kinds]
    assert [len(entries) for _, entries in shown] == [1] * len(shown)
    times = [at_ms for at_ms, _ in shown]
    assert all(later - earlier >= 1_000 for earlier, later in pairwise(times[:-1]))  # the last comes with the end
    assert 5 <= len(shown) <= 7
    assert shown[-1][1] == (Progress(bytes([99])),)


async def test_a_replay_shows_nothing_again() -> None:
    async def code(host: Host) -> None:
        host.show(b"\x01")
        await host.step(call(work))
        await host.wait("nap", Sleep(60_000))

    engine = PaperEngine(Program(code))
    engine.start()
    await quiet(engine)
    engine.restart()
    await quiet(engine)
    assert sum(isinstance(entry, Progress) for entry in engine.runs["run_1"].written) == 1

"""What workers have got wrong elsewhere: refused results that were dropped, replays that took for ever."""

import asyncio
import time
from collections import Counter
from functools import partial

import pytest
from onward.checkpoint import PRESETS, Checkpoint
from onward.host import Host
from onward_protocol.codec import encode_entries
from onward_protocol.messages import Ack, HandedBack, Segment, StepDone
from onward_protocol.messages import Checkpoint as Frame

from tests.support.paper_engine import PaperEngine, PaperRun, Program, call, finished, quiet


@pytest.mark.parametrize("checkpoint", PRESETS.values(), ids=PRESETS)
async def test_a_run_whose_frames_were_all_refused_once_sends_them_again_and_finishes(checkpoint: Checkpoint) -> None:
    bodies: Counter[int] = Counter()

    async def count(number: int) -> int:
        bodies[number] += 1
        return number

    async def function(host: Host) -> list[int]:
        step = partial(call, count, id="same")  # one id for all: they are told apart by their place
        one_by_one = [await host.step(step(n)) for n in range(4)]
        return [*one_by_one, *await asyncio.gather(*(host.step(step(n)) for n in (4, 5)))]

    engine = PaperEngine(Program(function, checkpoint=checkpoint), auto=False)
    run = engine.start()
    refused: set[tuple[int, int]] = set()
    while run.outcome is None or isinstance(run.outcome, HandedBack):
        if run.outcome is not None:
            engine.restart()
        await quiet(engine)
        sent, engine.sent = engine.sent, []
        for frame in sent:
            assert isinstance(frame, Frame)
            is_taken = (frame.epoch, frame.seq) in refused and run.store(frame)
            refused.add((frame.epoch, frame.seq))
            engine.runner.handle(Ack(frame.run, frame.epoch, run.stored, resend=not is_taken))
    assert await finished(engine) == [0, 1, 2, 3, 4, 5]
    assert set(bodies.values()) == {1}
    assert len({entry.key for entry in run.written if isinstance(entry, StepDone)}) == 6


async def test_a_replay_of_four_times_as_many_steps_takes_four_times_as_long() -> None:
    few, many = [min([await replay_s(steps) for _ in range(3)]) for steps in (2_000, 8_000)]
    assert many / few < 8  # it would be 16 if each step looked at all others


async def replay_s(steps: int) -> float:
    """Return the processor time that a finished run of so many steps needs to come to its end once more."""

    async def function(host: Host) -> None:
        for _ in range(steps):
            await host.step(call(quiet, id="s"))

    engine = PaperEngine(Program(function))
    journal = [Segment(1, n + 1, encode_entries([StepDone(f"s@0#{n}", b"\xc0")])) for n in range(steps)]
    run = engine.runs["run_1"] = PaperRun("run_1", "app/fn", epoch=1, segments=journal)
    began_s = time.process_time()
    engine.runner.handle(run.assign())
    assert await finished(engine) is None
    return time.process_time() - began_s

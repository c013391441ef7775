"""A run that forks, tries again, sleeps, calls or waits stays with its worker; after it each step costs one frame."""

import pytest
from onward_protocol.messages import StepDone

from tests.support.history import frame_of, taken
from tests.support.stage import Stage, play
from tests.support.stories import Act, Await, Call, Fork, Nap, Op, Story

INTERRUPTIONS: dict[str, Op] = {
    "parallel steps": Fork([[Act(f"fork{n}", 10 * n)] for n in range(3)]),
    "retries in process": Act("flaky", 10, failures=2, backoff_ms=50),
    "a short sleep": Nap(20),
    "a child": Call(Story("child", [Act("inner", 10)])),
    "a wait": Await(50),
}


def steps(name: str) -> list[Op]:
    return [Act(f"{name}{n}", 10) for n in range(5)]


@pytest.mark.parametrize("interruption", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_a_run_is_assigned_once_and_each_step_costs_one_frame_after(interruption: Op) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join()
        await stage.tell(*steps("before"), interruption, *steps("after"))
        run = await stage.ended()
        records = stage.disk.witness.records
        claims = [one for record in records for one in taken(record) if one.run.id == run.id]
        frames = [frame for record in records if (frame := frame_of(record)) and frame.run == run.id]
        results = [[entry.key for entry in frame.entries if isinstance(entry, StepDone)] for frame in frames]
        assert len(claims) == 1
        assert results[-5:] == [[f"after{n}@0#0"] for n in range(5)]

    play(scene)


def test_a_run_with_all_of_it_is_never_assigned_again() -> None:
    async def scene(stage: Stage) -> int:
        await stage.join()
        await stage.tell(*INTERRUPTIONS.values())
        return (await stage.ended()).epoch

    assert play(scene) == 1

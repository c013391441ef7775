"""What plays random programs blames a worker for what it did, and not for what was under way."""

import asyncio

from onward.host import Host, StepCall
from onward.run.bodies import Step
from onward_protocol.messages import Return, Sleep

from tests.support.crashes import RUN, Crashes, Started
from tests.support.paper_engine import call
from tests.support.programs import Node
from tests.support.timed_engine import in_virtual_time

SAFE = 1
"""A seed: odd ones play under this setting."""


class Scene(Crashes):
    """Two steps beside each other; the first one ends when the second one has been let through, before it begins."""

    def __init__(self) -> None:
        super().__init__(SAFE, 0.001)
        self.fn = self._function
        self.story: list[str] = []
        self.has_ended = asyncio.Event()
        self.is_second = asyncio.Event()

    async def _function(self, host: Host) -> None:
        async def later() -> None:
            await host.wait("nap", Sleep(10))
            await host.step(self._step(host, "second"))

        await asyncio.gather(host.step(self._step(host, "first")), later())

    def _step(self, host: Host, name: str) -> StepCall:
        async def body() -> int:
            self.story.append(f"{name} begins")
            value = self.executed(host, Node("step", len(name)), ())
            if name == "first":
                await self.has_ended.wait()
            else:
                self.is_second.set()
                await asyncio.sleep(0.001)
            self.story.append(f"{name} ends")
            return value

        return call(body, id=name)

    async def play(self) -> None:
        """Lose the worker while the second step executes."""
        self._begin_life(fresh_worker=True)
        self.lives[0].started = EndsTheFirst(self.has_ended)
        await self.is_second.wait()
        self._uplink.clear()
        await self._lose_worker("kill")
        await self.ended
        self._count_repetitions()
        await self._replay_everything()
        await self.leave()

    async def leave(self) -> None:
        """Let all workers end."""
        assert self._runner is not None
        await self._runner.close()
        await asyncio.gather(*self._closing)


class EndsTheFirst(Started):
    """Ends the first body at the moment when the second one is let through."""

    def __init__(self, has_ended: asyncio.Event) -> None:
        super().__init__()
        self._has_ended = has_ended

    def add(self, step: Step) -> None:
        super().add(step)
        if len(self) == 2:
            self._has_ended.set()


def test_a_body_runs_beside_another_from_the_moment_when_it_is_let_through() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.play()
        assert scene.story[:3] == ["first begins", "first ends", "second begins"]
        assert len(scene.lives[0].repeated) == 2
        assert not scene.problems

    in_virtual_time(main)


def test_a_wake_up_may_meet_a_run_that_its_worker_has_given_back() -> None:
    async def main() -> None:
        scene = Scene()
        scene._begin_life(fresh_worker=True)
        scene._uplink.extend(Return(RUN, 1, "unknown") for _ in range(50))  # some of them arrive
        scene._take_up(Return(RUN, 1, "full"))
        assert scene.epoch == 2
        assert not scene.problems
        scene._take_up(Return(RUN, 2, "unknown"))
        assert scene.problems
        await scene.leave()

    in_virtual_time(main)

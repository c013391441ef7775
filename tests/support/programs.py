"""Random durable programs: a grammar, grown from a seed, and the code that plays it inside a run.

Every value that a step returns is new, and everything that the code sees goes into a trace and into `mix`, a number
that the arguments of later steps contain. So a result that arrives in another order, or at another call, changes what
follows.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Protocol

from onward import parallel
from onward.config import Retry
from onward.errors import Evicted, RetryAfter, RunCancelled
from onward.events import Event
from onward.host import Answer, Host, StepCall
from onward.timeout import DurableTimeout
from onward.values.serde import decoder_for, encode
from onward_protocol.messages import Arrived, Draft, EventWait, Returned, Sleep

Kind = Literal[
    "step",
    "seq",
    "gather",
    "group",
    "timeout",
    "wait_for",
    "wait",
    "sleep",
    "cancel",
    "race",
    "first",
    "completed",
    "map",
    "choose",
    "cleanup",
    "queue",
    "send",
    "shield",
    "limit",
    "patch",
    "agents",
    "start",
    "callback",
    "reminders",
    "tag",
]
LEAVES: list[Kind] = [
    *("step", "step", "step", "step", "wait", "sleep", "send", "patch", "agents"),
    *("start", "callback", "reminders", "tag"),
]
FORKS: list[Kind] = [
    "seq",
    "seq",
    "gather",
    "gather",
    "group",
    "group",
    "timeout",
    "wait_for",
    "cancel",
    "race",
    "first",
    "completed",
    "map",
    "choose",
    "cleanup",
    "queue",
    "shield",
    "limit",
]
WIDE: set[Kind] = {"seq", "gather", "group", "race", "first", "completed", "map"}

_decode = decoder_for(Any)


@dataclass(frozen=True)
class Node:
    """A piece of a program."""

    kind: Kind
    number: int
    children: tuple["Node", ...] = ()
    pause: int = 0
    inner: int = 0
    fails: float = 0.0


class Grower:
    """Grows programs of a bounded size."""

    def __init__(self, rng: Random, size: int) -> None:
        self._rng = rng
        self._left = size
        self._number = 0

    def grow(self, depth: int = 0) -> Node:
        """Return a random piece."""
        self._left -= 1
        self._number += 1
        number, rng = self._number, self._rng
        is_leaf = depth >= 5 or self._left <= 0 or (depth > 1 and rng.random() < 0.4)
        kind = rng.choice(LEAVES if is_leaf else FORKS)
        width = {"choose": 2}.get(kind, 3 if kind in WIDE else 1)
        children = () if is_leaf else tuple(self.grow(depth + 1) for _ in range(width))
        fails = rng.choice([0, 0, 0, 0.2, 0.7])
        return Node(kind, number, children, rng.randrange(6), rng.randrange(4), fails)


def grow(seed: int) -> Node:
    """Return the program of a seed: a few pieces after each other."""
    rng = Random(seed)
    grower = Grower(rng, rng.randrange(4, 40))
    return Node("seq", 0, tuple(grower.grow() for _ in range(rng.randrange(1, 4))))


class World(Protocol):
    """What is outside of the program: chance, and a record of what really happened."""

    rng: Random

    def seconds(self, pause: int) -> float: ...
    def executed(self, host: Host, node: Node, args: tuple[Any, ...]) -> int: ...
    def check_value(self, node: Node, args: tuple[Any, ...], value: int) -> None: ...
    def check_patch(self, node: Node, is_on: bool) -> None: ...
    def saw(self, host: Host, item: tuple[Any, ...]) -> None: ...


def body_of(world: World, host: Host, node: Node, args: tuple[Any, ...]) -> Any:
    """Return the body of a step: it takes its time, makes tasks of its own, and fails now and then."""

    async def body(*_: Any) -> int:
        value = world.executed(host, node, args)
        pauses = [world.seconds(world.rng.randrange(4)) for _ in range(node.inner)]
        await asyncio.gather(*(asyncio.sleep(pause) for pause in pauses))
        await asyncio.sleep(world.seconds(world.rng.randrange(6)))
        if world.rng.random() < node.fails:
            raise world.rng.choice([ValueError("no"), RetryAfter(6)])
        return value

    return body


class Player:
    """Plays a program in one residence of a run."""

    def __init__(self, world: World, host: Host) -> None:
        self._world = world
        self._host = host
        self._mix = 0

    async def play(self, program: Node) -> int:
        """Play it to its end and return the mix of all that was seen."""
        try:
            await self._play(program)
        except RunCancelled:
            self._see("cancelled")
            await self._step(Node("step", -1))
            raise
        except Exception as error:  # noqa: BLE001 - any end of a program is a valid one
            self._see("ended by", type(error).__name__)
        return self._mix

    async def _play(self, node: Node) -> None:
        await getattr(self, f"_{node.kind}")(node)

    def _see(self, *item: Any) -> None:
        self._mix = (self._mix * 31 + sum(map(ord, repr(item)))) % 1_000_003
        self._world.saw(self._host, (*item, self._mix))

    # -- leaves

    async def _step(self, node: Node) -> None:
        value = await self._call(f"step{node.number % 5}", node, (node.number, self._mix))
        self._see("step", node.number, value)

    async def _call(self, name: str, node: Node, args: tuple[Any, ...]) -> int:
        retry = Retry(attempts=1 + node.number % 3, backoff=0.001, factor=1, jitter=0)
        limit_ms = max(1, round(self._world.seconds(4) * 1000)) if node.number % 5 == 0 else None
        call = StepCall(
            name,
            "body",
            body_of(self._world, self._host, node, args),
            args,
            {},
            retry,
            encode,
            _decode,
            barrier=node.number % 7 == 0,
            timeout_ms=limit_ms,
        )
        value = int(await self._host.step(call))
        self._world.check_value(node, args, value)
        return value

    async def _wait(self, node: Node) -> None:
        wait = Sleep(10) if node.pause < 2 else EventWait(f"event{node.number}")
        entry = await self._host.wait(f"wait{node.number % 3}", wait)
        self._see(
            "wait",
            node.number,
            entry.event.id if isinstance(entry, Arrived) else type(entry).__name__,
            self._host.now_ms(),
        )

    async def _sleep(self, node: Node) -> None:
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(self._world.seconds(node.pause))
        self._see("slept", node.number, round(asyncio.get_running_loop().time() - before, 6))

    async def _send(self, node: Node) -> None:
        name = f"sent{node.number}"
        [id] = await self._host.send("send", [Draft(name, b"{}")], [Event(name, {})])
        self._see("sent", node.number, id)

    async def _start(self, node: Node) -> None:
        entry = await self._host.start("start", f"fn{node.number}", b"")
        self._see("started", node.number, entry.value if isinstance(entry, Returned) else type(entry).__name__)

    async def _opened(self, node: Node) -> Answer:
        """A callback; its token is chance, and a replay sees the first one."""
        entry, answer = await self._host.callback("callback", str(self._world.rng.random()), None)
        assert isinstance(entry, Returned)
        self._see("callback", node.number, entry.value)
        return answer

    async def _callback(self, node: Node) -> None:
        answer = await self._opened(node)
        if node.pause % 2:
            await self._step(Node("step", 8000 + node.number))
        entries = [await answer.wait(), await answer.wait()]
        self._see("answered", node.number, [getattr(entry, "pos", None) for entry in entries])

    async def _reminders(self, node: Node) -> None:
        """Give up waiting for a callback, and wait for it again."""
        answer = await self._opened(node)
        for _ in range(node.pause % 3):
            won = await parallel.race({"answer": answer.wait(), "time": self._sleep(node)})
            self._see("reminder", node.number, won.name)
        if node.pause > 2:  # otherwise nobody may ever ask for the answer
            self._see("answered", node.number, getattr(await answer.wait(), "pos", None))

    async def _tag(self, node: Node) -> None:
        self._host.tag({"key": f"tag{node.number}"})

    async def _patch(self, node: Node) -> None:
        is_on = await self._host.patch(f"change{node.number % 3}")
        self._world.check_patch(node, is_on)
        self._see("patch", node.number, is_on)

    async def _agents(self, node: Node) -> None:
        """Two agents with the same tools and arguments, each calling them in an order that no replay repeats."""
        mix = self._mix
        agents = [Node("step", 10 * node.number + number, (), 0, node.inner, node.fails) for number in (1, 2)]
        try:
            answers = await asyncio.gather(*(self._agent(agent, mix) for agent in agents))
            self._see("agents", node.number, answers)
        finally:
            self._see("agents over", node.number)

    async def _agent(self, agent: Node, mix: int) -> list[int]:
        with self._host.scope("agent"):
            wanted = [("find", 1), ("find", 2), ("buy", 1)]
            self._world.rng.shuffle(wanted)
            tools = {one: asyncio.create_task(self._call(one[0], agent, (*one, mix))) for one in wanted}
            try:
                await asyncio.gather(*tools.values())
            finally:
                for tool in tools.values():
                    tool.cancel()
            return [tools[one].result() for one in sorted(wanted)]

    # -- forks

    async def _seq(self, node: Node) -> None:
        for child in node.children:
            await self._play(child)

    async def _gather(self, node: Node) -> None:
        if node.pause % 2:
            results = await asyncio.gather(*map(self._play, node.children), return_exceptions=True)
            self._see("gathered", node.number, [type(result).__name__ for result in results])
            return
        try:
            await asyncio.gather(*map(self._play, node.children))
        finally:
            self._see("gather over", node.number)

    async def _group(self, node: Node) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for child in node.children:
                    group.create_task(self._tell_end(child))
        except* Exception as errors:  # noqa: BLE001 - as above
            self._see("group failed", node.number, len(errors.exceptions))

    async def _tell_end(self, child: Node) -> None:
        try:
            await self._play(child)
        except BaseException as error:
            self._see("child ended by", child.number, type(error).__name__)
            raise

    async def _timeout(self, node: Node) -> None:
        try:
            async with asyncio.timeout(self._world.seconds(node.pause)):
                await self._play(node.children[0])
        except TimeoutError:
            self._see("timeout", node.number)
        await self._step(Node("step", 1000 + node.number))

    async def _limit(self, node: Node) -> None:
        try:
            async with DurableTimeout(self._host, f"limit{node.number % 3}", Sleep(10)):
                await self._play(node.children[0])
        except TimeoutError:
            self._see("limit", node.number, self._host.now_ms())
        await self._step(Node("step", 7000 + node.number))

    async def _wait_for(self, node: Node) -> None:
        try:
            await asyncio.wait_for(self._play(node.children[0]), self._world.seconds(node.pause))
        except TimeoutError:
            self._see("waited in vain", node.number)
            await self._step(Node("step", 2000 + node.number))

    async def _cancel(self, node: Node) -> None:
        task = asyncio.create_task(self._tell_end(node.children[0]))
        await (self._step(Node("step", 3000 + node.number)) if node.pause % 2 else self._sleep(node))
        self._see("cancels", node.number, task.cancel())
        await self._end_of(task)

    async def _race(self, node: Node) -> None:
        tasks = [asyncio.create_task(self._play(child), name=f"racer {child.number}") for child in node.children]
        try:
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self._see("race won", node.number, [task.get_name() for task in done])
            for task in pending:
                task.cancel()
        finally:
            for task in tasks:
                task.cancel()
        for task in tasks:
            await self._end_of(task)

    async def _first(self, node: Node) -> None:
        try:
            winner = await parallel.race({f"racer {child.number}": self._tell_end(child) for child in node.children})
            self._see("first", node.number, winner.name)
        finally:
            self._see("race over", node.number)

    async def _completed(self, node: Node) -> None:
        tasks = [asyncio.create_task(self._play(child), name=f"task {child.number}") for child in node.children]
        async for done in parallel.Completed(tasks):
            self._see("completed", node.number, done.get_name())
            await self._end_of(done)
            if node.pause == 0:  # the rest goes on
                break
            await self._step(Node("step", 6000 + node.number))

    async def _map(self, node: Node) -> None:
        try:
            await parallel.run_each(self._tell_end, node.children, 1 + node.pause % 3)
        finally:
            self._see("map over", node.number)

    async def _choose(self, node: Node) -> None:
        await self._play(node.children[self._mix % 2])

    async def _cleanup(self, node: Node) -> None:
        try:
            await self._play(node.children[0])
        except asyncio.CancelledError:
            await self._step(Node("step", 4000 + node.number))
            raise
        finally:
            self._see("cleaned", node.number)

    async def _queue(self, node: Node) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._produce(node.children[0], queue))
            self._see("took", node.number, await queue.get())
            await self._step(Node("step", 5000 + node.number))

    async def _produce(self, child: Node, queue: "asyncio.Queue[int]") -> None:
        try:
            await self._play(child)
        finally:
            queue.put_nowait(self._mix)

    async def _shield(self, node: Node) -> None:
        await asyncio.shield(self._play(node.children[0]))

    async def _end_of(self, task: "asyncio.Task[None]") -> None:
        with suppress(asyncio.CancelledError):
            try:
                await task
            except Exception as error:  # noqa: BLE001 - as above
                self._see("task failed", type(error).__name__)


def played(world: World, program: Node) -> Any:
    """Return the durable function that plays `program`."""

    def function(host: Host) -> Coroutine[Any, Any, int]:
        return Player(world, host).play(program)

    return function


__all__ = ["Evicted", "Node", "grow", "played"]

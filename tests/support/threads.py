"""Random durable programs in threads: the same grammar as in tasks, played by a plain `def` function.

Which of two threads is quicker is chance, so each call of a `gather` has a `mix` and a trace of its own.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from onward.config import Retry
from onward.errors import RunCancelled, StepFailed
from onward.host import Host, StepCall
from onward.timeout import SyncTimeout
from onward.values.serde import decoder_for, encode
from onward_protocol.messages import Arrived, Draft, EventWait, Returned, Sleep

from tests.support.crashes import Crashes, Life
from tests.support.programs import Node, World, body_of

_decode = decoder_for(Any)


class ThreadPlayer:
    """Plays a piece of a program in one thread of one residence."""

    def __init__(self, world: World, host: Host, path: str = "0", mix: int = 0) -> None:
        self._world = world
        self._host = host
        self._path = path
        self._mix = mix
        self._gathers = 0

    def play(self, program: Node) -> int:
        """Play it to its end and return the mix of all that was seen."""
        try:
            self._play(program)
        except RunCancelled:
            self._see("cancelled")
            self._step(Node("step", -1))
            raise
        except Exception as error:  # noqa: BLE001 - any end of a program is a valid one
            self._see("ended by", type(error).__name__)
        return self._mix

    def _play(self, node: Node) -> None:
        getattr(self, f"_{node.kind}", self._seq)(node)

    def _see(self, *item: Any) -> None:
        self._mix = (self._mix * 31 + sum(map(ord, repr(item)))) % 1_000_003
        self._world.saw(self._host, (self._path, *item, self._mix))

    def _step(self, node: Node) -> None:
        args = (node.number, self._mix)
        retry = Retry(attempts=1 + node.number % 2, backoff=0.001, factor=1, jitter=0)
        body = body_of(self._world, self._host, node, args)
        call = StepCall(f"step{node.number % 5}", "body", body, args, {}, retry, encode, _decode)
        value = int(self._host.block(lambda: self._host.step(call)))
        self._world.check_value(node, args, value)
        self._see("step", node.number, value)

    def _wait(self, node: Node) -> None:
        wait = Sleep(10) if node.pause < 2 else EventWait(f"event{node.number}")
        entry = self._host.block(lambda: self._host.wait(f"wait{node.number % 3}", wait))
        self._see("wait", node.number, entry.event.id if isinstance(entry, Arrived) else type(entry).__name__)

    def _send(self, node: Node) -> None:
        [id] = self._host.block(lambda: self._host.send("send", [Draft(f"sent{node.number}", b"{}")]))
        self._see("sent", node.number, id)

    def _start(self, node: Node) -> None:
        entry = self._host.block(lambda: self._host.start("start", f"fn{node.number}", b""))
        self._see("started", node.number, entry.value if isinstance(entry, Returned) else type(entry).__name__)

    def _callback(self, node: Node) -> None:
        token = str(self._world.rng.random())
        entry, answer = self._host.block(lambda: self._host.callback("callback", token, None))
        self._see("callback", node.number, entry.value if isinstance(entry, Returned) else type(entry).__name__)
        if node.pause % 2:
            self._step(Node("step", 8000 + node.number))
        entries = [self._host.block(answer.wait) for _ in range(2)]
        self._see("answered", node.number, [type(entry).__name__ for entry in entries])

    def _tag(self, node: Node) -> None:
        async def tag() -> None:
            self._host.tag({"key": f"tag{node.number}"})

        self._host.block(tag)

    def _patch(self, node: Node) -> None:
        is_on = self._host.block(lambda: self._host.patch(f"change{node.number % 3}"))
        self._world.check_patch(node, is_on)
        self._see("patch", node.number, is_on)

    def _seq(self, node: Node) -> None:
        for child in node.children:
            self._play(child)

    def _gather(self, node: Node) -> None:
        self._gathers += 1
        path = f"{self._path}.{self._gathers}"
        players = [ThreadPlayer(self._world, self._host, f"{path}-{n}", self._mix) for n in range(len(node.children))]
        calls = [partial(player.tell_end, child) for player, child in zip(players, node.children, strict=True)]
        try:
            self._see("gathered", node.number, self._host.gather(calls, 2 if node.pause % 2 else None))
        except Exception as error:  # noqa: BLE001 - as above
            self._see("gather failed", node.number, type(error).__name__)

    _group = _map = _race = _first = _completed = _gather

    def tell_end(self, child: Node) -> int:
        """Play one call of a gather."""
        try:
            self._play(child)
        except BaseException as error:
            self._see("call ended by", child.number, type(error).__name__)
            if isinstance(error, asyncio.CancelledError):
                self._step(Node("step", 4000 + child.number))
            raise
        return self._mix

    def _limit(self, node: Node) -> None:
        try:
            with SyncTimeout(self._host, f"limit{node.number % 3}", Sleep(10)):
                self._seq(node)
        except TimeoutError:
            self._see("limit", node.number)
        self._step(Node("step", 7000 + node.number))

    _timeout = _wait_for = _cancel = _limit

    def _cleanup(self, node: Node) -> None:
        try:
            self._seq(node)
        except StepFailed:
            self._step(Node("step", 4000 + node.number))
            raise
        finally:
            self._see("cleaned", node.number)

    def _choose(self, node: Node) -> None:
        self._play(node.children[self._mix % 2])


class ThreadCrashes(Crashes):
    """The world of one program in threads, and its worker's deaths."""

    is_sync = True

    def __init__(self, seed: int, tick_s: float) -> None:
        super().__init__(seed, tick_s)
        self.fn: Any = self._fn
        self._lock = threading.Lock()

    def _fn(self, host: Host) -> int:
        return ThreadPlayer(self, host).play(self.program)

    def saw(self, host: Host, item: tuple[Any, ...]) -> None:
        """Which entries were delivered before is not known: other threads go on meanwhile."""
        with self._lock:
            life = self._life(host)
            if life is not None:
                life.trace.append((0, item))

    def traced(self, life: Life) -> Any:
        """Return what each thread saw, in its order."""
        paths: defaultdict[str, list[Any]] = defaultdict(list)
        for _, item in life.trace:
            paths[item[0]].append(item)
        return paths

    def _compare_lives(self) -> None:
        """Only the complete replay is compared: before it, what was not durable may be decided anew."""


async def play(seed: int, tick_s: float = 0.001) -> None:
    """Play the program of `seed` in threads, in real time. Raises `Violation`."""
    await asyncio.wait_for(ThreadCrashes(seed, tick_s).play(), 60)


async def play_many(seeds: Iterable[int], at_once: int = 10) -> dict[int, BaseException]:
    """Play programs beside each other. Returns what went wrong, by seed."""
    left, failed = iter(seeds), dict[int, BaseException]()

    async def lane() -> None:
        for seed in left:
            try:
                await play(seed)
            except Exception as error:  # noqa: BLE001 - reported by the caller
                failed[seed] = error

    await asyncio.gather(*(lane() for _ in range(at_once)))
    return failed


if __name__ == "__main__":
    logging.disable()
    problems = asyncio.run(play_many(range(int(sys.argv[1]), int(sys.argv[2]))))
    print(problems or "no violation")  # noqa: T201 - the answer to a command

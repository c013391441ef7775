"""Middleware that does nothing but take its time, at random: with tasks, with sleeps, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from onward.events import Event
from onward.middleware import Middleware, Next, PayloadInfo, RunInfo, SendNext, StepInfo
from onward.middleware.chain import Chain

TICK_S = 0.001


class Noise(Middleware):
    """The base of what follows: a class for each kind of hook, because a hook that is not there takes another path."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    async def work(self) -> None:
        """Take a while, of which only chance knows how long."""
        rng = self._rng
        for _ in range(rng.choice([0, 0, 1, 2, 5])):
            await asyncio.sleep(rng.choice([0, 0, TICK_S / 2, 2 * TICK_S]))
        if rng.random() < 0.3:
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))


class RunNoise(Noise):
    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        await self.work()
        value = await next()
        await self.work()
        return value


class StepNoise(Noise):
    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        await self.work()
        value = await next()
        await self.work()
        return value


class SendNoise(Noise):
    async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
        await self.work()
        return await next(events)


class PayloadNoise(Noise):
    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        await self.work()
        return payload

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        await self.work()
        return payload


KINDS = (RunNoise, StepNoise, SendNoise, PayloadNoise)


def noisy_chain(function: str, seed: int) -> Chain:
    """Return middleware with hooks of some kinds, or of all."""
    rng = Random(seed)
    kinds = rng.sample(KINDS, rng.randrange(1, len(KINDS) + 1))
    return Chain(function, [kind(rng) for kind in kinds])

"""Functions that other engines of this kind have run wrongly, for the scenarios."""

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

from onward import App, Concurrency, Context, EventType, Retry, StepFailed, step

functions = App("bugs")
Queued = EventType("test/queued", int)

bodies: Counter[str] = Counter()
seen: list[Any] = []
gate = threading.Event()


@step(retry=Retry(attempts=3, backoff="1s", jitter=0))
async def third_time_lucky(name: str) -> str:
    bodies[name] += 1
    if bodies[name] % 3:
        raise OSError(f"{name} is not ready")
    return name


@functions.function(int)
async def retried_one_after_another(ctx: Context[int]) -> list[str]:
    seen.append(ctx.attempt)
    return [await third_time_lucky(name) for name in "abc"]


@dataclass
class Money:
    cents: int
    tags: tuple[str, ...] = ("new",)


@step
async def typed() -> Money:
    return Money(5)


async def untyped() -> Any:
    return {"a": (1, 2), 3: b"x", "money": Money(5)}


@functions.function(int)
async def looks_at_values(ctx: Context[int]) -> int:
    money, plain = await typed(), await ctx.step.run("untyped", untyped)
    seen.append((repr(money), repr(plain)))
    await third_time_lucky("a")
    return money.cents


@step
async def part(name: str) -> str:
    bodies[name] += 1
    await asyncio.sleep(0)
    return name


@functions.function(int)
async def two_at_once(ctx: Context[int]) -> list[str]:
    return list(await asyncio.gather(part("left"), part("right")))


@functions.function(int)
async def many_at_once(ctx: Context[int]) -> list[str]:
    first = await part("first")
    gathered = await asyncio.gather(*(part(f"gather{n}") for n in range(3)))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part(f"group{n}")) for n in range(3)]
    mapped = await ctx.map(part, [f"map{n}" for n in range(3)], limit=2)
    completed = [done.result() async for done in ctx.as_completed(part(f"completed{n}") for n in range(3))]
    winner = await ctx.race(one=part("race0"), two=part("race1"))
    return [first, *gathered, *(task.result() for task in tasks), *mapped, *completed, winner.value, await part("last")]


@functions.function(int)
async def with_finally(ctx: Context[int]) -> None:
    try:
        for name in "abc":
            await part(name)
            await ctx.sleep("1m")
    finally:
        seen.append("leaving" if ctx.leaving else "over")


class Declined(Exception):
    """An error that can be made neither without arguments nor from its message alone."""

    def __init__(self, bank: str, *, code: int) -> None:
        super().__init__(f"{bank} said {code}")
        self.lock = threading.Lock()


@step(retry=Retry(attempts=1))
async def pay() -> None:
    raise Declined("the bank", code=51)


@functions.function(int)
async def catches_its_own_error(ctx: Context[int]) -> str:
    try:
        await pay()
    except StepFailed as failed:
        seen.append((failed.type, failed.message, failed.attempts))
        await part("after")
        return failed.type
    return "?"


@step
async def hog(number: int) -> bool:
    return await asyncio.to_thread(gate.wait, 5)


@step
def plain(number: int) -> int:
    return number + 1


@functions.function(int)
async def beside_blocked_threads(ctx: Context[int]) -> list[bool]:
    hogs = [asyncio.create_task(hog(n)) for n in range(40)]
    await asyncio.sleep(0)  # they stand in line before it
    await plain.aio(1)
    gate.set()
    return await asyncio.gather(*hogs)


@functions.on(Queued, concurrency=Concurrency(1))
async def one_at_a_time(ctx: Context[int]) -> int:
    seen.append(("began", ctx.data))
    await part(f"{ctx.data}a")
    await part(f"{ctx.data}b")
    seen.append(("ended", ctx.data))
    return ctx.data

"""The load, the same for every peer: asks the peer for runs, notes when, and hands back what came.

One question a line on standard input, one answer a line on standard output, both JSON. Nothing is judged here: the
process that asks knows the right results. Every peer has the same four functions, each of one integer:

* `ticks(n)`: n steps, one after the other; returns the moments at which their bodies ran
* `ten(n)`: ten steps, each of which needs the one before; returns the last result
* `first_line(n)`: no step; returns n and the moment of its first line
* `fan(n)`: one step, n parallel ones, one step; returns the nanoseconds from its first line to its last, and the result
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, TextIO

from .steps import now_ns

Call = Callable[[str, int], Awaitable[tuple[int, Any]]]
"""Runs a function to its end. Returns the moment just before it was asked for, and what it returned."""


async def serve(
    call: Call,
    facts: Mapping[str, object] = MappingProxyType({}),
    questions: Mapping[str, Callable[..., Awaitable[Any]]] | None = None,
) -> None:
    """Say what is known about the peer's settings, then answer questions until there are no more."""
    answers = reserved_output()
    print(json.dumps(dict(facts)), file=answers, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        answer = await (questions or QUESTIONS)[question.pop("ask")](call, **question)
        print(json.dumps(answer), file=answers, flush=True)


def reserved_output() -> TextIO:
    """Keep standard output for answers: whatever a library prints goes to the log instead."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


async def ticks(call: Call, count: int) -> list[int]:
    _, begun_ns = await call("ticks", count)
    return begun_ns


async def tens(call: Call, runs: int, in_flight: int) -> dict[str, Any]:
    """So many runs at a time; a run that is over makes place for the next."""
    results = [0] * runs
    numbers = iter(range(runs))

    async def lane() -> None:
        for number in numbers:
            _, results[number] = await call("ten", number)

    begun_ns = now_ns()
    await asyncio.gather(*(lane() for _ in range(in_flight)))
    return {"taken_s": (now_ns() - begun_ns) / 1e9, "results": results}


async def first_lines(call: Call, count: int) -> list[tuple[int, int]]:
    """For each run, one at a time, the number that it was given and the nanoseconds to its first line."""
    answers = []
    for number in range(count):
        asked_ns, (echoed, begun_ns) = await call("first_line", number)
        answers.append((echoed, begun_ns - asked_ns))
    return answers


async def fans(call: Call, count: int, width: int) -> list[tuple[int, int]]:
    """For each run, one at a time, the nanoseconds that it took and its result."""
    return [(await call("fan", width))[1] for _ in range(count)]


QUESTIONS: dict[str, Callable[..., Awaitable[Any]]] = {
    "ticks": ticks,
    "tens": tens,
    "first_lines": first_lines,
    "fans": fans,
}

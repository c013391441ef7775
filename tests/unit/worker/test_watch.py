"""A step's body under watch behaves as without, and is named exactly while its code executes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Literal

import pytest
from onward.config import Retry
from onward.host import StepCall
from onward.watch import Identity, watched


class Notes:
    """A `Watch` that keeps what it hears."""

    def __init__(self) -> None:
        self.now = b""
        self.threads: list[bytes] = []

    def tick(self) -> None: ...
    def met(self, identity: Identity) -> None: ...
    def left(self) -> None: ...
    def runs_now(self, name: bytes) -> None:
        self.now = name

    def thread_began(self, name: bytes) -> None:
        self.threads.append(name)

    def thread_ended(self, name: bytes) -> None:
        self.threads.remove(name)


def under_watch(
    notes: Notes, fn: Callable[..., Any], executor: Literal["loop", "thread"] = "loop"
) -> Callable[..., Any]:
    call = StepCall("s", "m.s", fn, (), {}, Retry(), lambda _: b"", lambda _: None, executor=executor)
    return watched(notes, call, b"s")


async def test_a_body_is_named_while_it_executes_and_not_while_it_waits() -> None:
    notes, seen = Notes(), list[Any]()

    async def body() -> str:
        seen.append(notes.now)
        await asyncio.sleep(0)
        seen.append(notes.now)
        return "done"

    running = asyncio.ensure_future(under_watch(notes, body)())
    await asyncio.sleep(0)
    seen.append(notes.now)
    assert await running == "done"
    assert (seen, notes.now) == ([b"s", b"", b"s"], b"")


async def test_bodies_that_take_turns_are_each_named_in_their_own() -> None:
    notes, seen = Notes(), list[Any]()

    async def body(name: str) -> None:
        for _ in range(3):
            seen.append((name, notes.now))
            await asyncio.sleep(0)

    await asyncio.gather(*(watched(notes, call_of(body), name.encode())(name) for name in "ab"))
    assert {(name, now) for name, now in seen} == {("a", b"a"), ("b", b"b")}


def call_of(fn: Callable[..., Any]) -> StepCall:
    return StepCall("s", "m.s", fn, (), {}, Retry(), lambda _: b"", lambda _: None)


async def test_what_a_body_raises_and_a_cancellation_pass_through() -> None:
    notes, cleaned = Notes(), list[bytes]()

    async def failing() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(notes.now)

    with pytest.raises(KeyError):
        await under_watch(notes, failing)()
    task = asyncio.ensure_future(under_watch(notes, waiting)())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (cleaned, notes.now) == ([b"s"], b"")


async def test_a_timeout_inside_a_body_works() -> None:
    async def body() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    assert await under_watch(Notes(), body)() == "late"


async def test_an_awaitable_of_somebodys_own_works() -> None:
    class Twice:
        def __await__(self) -> Generator[None, None, str]:
            yield
            yield
            return "done"

    class Plain:
        def __await__(self) -> Any:
            return iter([None, None])

    assert await under_watch(Notes(), Twice)() == "done"
    assert await under_watch(Notes(), Plain)() is None


def test_a_body_in_a_thread_is_on_the_list_while_it_runs() -> None:
    notes = Notes()
    assert under_watch(notes, lambda: list(notes.threads), "thread")() == [b"s"]
    assert notes.threads == []


def test_an_ordinary_function_on_the_loop_is_named_too() -> None:
    notes = Notes()
    assert under_watch(notes, lambda: notes.now)() == b"s"
    assert notes.now == b""

"""How middleware is put together, and what is wrong with it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from onward import App, CodecError, ConfigError, Context, Event, Middleware, OnwardError, RunInfo, StepInfo, step
from onward.lifecycle import started
from onward.middleware import Next, PayloadInfo, SendNext, WorkerInfo
from onward.middleware.chain import Chain
from onward.sealing import blocking, send_through, sending_chain

RUN = RunInfo("run_1", "shop/work", "shop")
STEP = StepInfo(RUN, "charge", "charge@0#0", 1, 5)


class Teller(Middleware):
    """Tells what it is asked to do, under a name."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        self.told.append(f"{self.name} begins {run.id}")
        value = await next()
        self.told.append(f"{self.name} ends")
        return value

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        return f"{self.name}({await next()})"

    async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
        return await next([Event(f"{event.name}{self.name}", event.data) for event in events])

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        return payload + self.name.encode()

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        return payload.removesuffix(self.name.encode())

    async def on_worker_start(self, worker: WorkerInfo) -> None:
        self.told.append(f"{self.name} starts with {len(worker.functions)}")

    async def on_worker_stop(self, worker: WorkerInfo) -> None:
        self.told.append(f"{self.name} stops")


class Twice(Middleware):
    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        await next()
        return await next()


class Blocking(Middleware):
    def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        return next()


async def work(ctx: Context[str]) -> str:
    return ctx.data


def pair(told: list[str] | None = None) -> tuple[Teller, Teller]:
    told = [] if told is None else told
    return Teller("a", told), Teller("b", told)


async def done() -> str:
    return "done"


async def test_the_first_is_outermost() -> None:
    told: list[str] = []
    chain = Chain("shop/work", pair(told))
    assert await chain.wrap_run(RUN, done) == "done"
    assert told == ["a begins run_1", "b begins run_1", "b ends", "a ends"]
    assert await chain.wrap_step(STEP, done) == "a(b(done))"


async def test_the_first_is_nearest_to_the_engine() -> None:
    chain = Chain("shop/work", pair())
    assert await chain.encode(b"x", chain.about("input")) == b"xba"
    assert await chain.decode(b"xba", chain.about("input")) == b"x"


async def test_an_event_goes_through_all_of_them_on_its_way_out() -> None:
    sent: list[str] = []

    async def send(events: Sequence[Event[Any]]) -> tuple[str, ...]:
        sent.extend(event.name for event in events)
        return ("evt_1",)

    assert await Chain("", pair()).wrap_send([Event("e", 1)], send) == ("evt_1",)
    assert sent == ["eab"]


async def test_next_can_be_called_once() -> None:
    with pytest.raises(OnwardError, match=r"Twice\.wrap_step called next\(\) twice"):
        await Chain("", [Twice()]).wrap_step(STEP, done)


async def test_what_is_not_overridden_costs_nothing() -> None:
    chain = Chain("", [Twice(), Middleware()])
    assert (len(chain.runs), len(chain.steps), len(chain.sends), len(chain.codecs)) == (0, 1, 0, 0)


async def test_a_payload_that_is_not_bytes_names_who_made_it() -> None:
    class Wrong(Middleware):
        async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
            return "text"  # type: ignore[return-value]  # wrong on purpose

    with pytest.raises(CodecError, match=r"Wrong\.encode returned str, not bytes"):
        await Chain("", [Wrong()]).encode(b"", PayloadInfo("input", "shop/work"))


@pytest.mark.parametrize(
    ("middleware", "message"),
    [
        ([Twice], r"App 'shop', option 'middleware': Twice is a class; write Twice\(\)\."),
        ([object()], r"App 'shop', option 'middleware': <object .*> is not Middleware\."),
        ([Blocking()], r"App 'shop', option 'middleware': Blocking\.wrap_step is not `async def`\."),
        (Twice(), r"App 'shop', option 'middleware': it takes a list\."),
    ],
)
def test_what_is_no_middleware_is_said_where_it_is_written(middleware: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        App("shop", middleware=middleware)


def test_a_function_that_is_given_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"function 'shop/work', option 'middleware': 3 is not Middleware"):
        App("shop").function(str, middleware=[3])(work)  # type: ignore[list-item]  # wrong on purpose


def test_a_functions_own_comes_inside_that_of_its_app() -> None:
    a, b = pair()
    function = App("shop", middleware=[a]).function(str, middleware=[b])(work)
    assert function.middleware == (a, b)
    assert App("bare").function(str)(work).chain is None


def test_a_failure_handler_has_the_middleware_of_its_function_and_reads_its_input() -> None:
    async def handle(ctx: Context[str], error: BaseException) -> None: ...

    a, b = pair()
    function = App("shop", middleware=[a]).function(str, middleware=[b], on_failure=handle)(work)
    assert function.failure_handler is not None
    assert function.failure_handler.middleware == (a, b)
    assert function.failure_handler.chain is not None
    assert function.failure_handler.chain.about("input") == PayloadInfo("input", "shop/work")


async def test_each_is_started_once_and_stopped_in_reverse() -> None:
    told: list[str] = []
    a, b = pair(told)
    app = App("shop", middleware=[a])
    app.function(str)(work)
    app.function(str, id="more", middleware=[b])(work)
    async with started(app.functions.values(), "wrk_1"):
        told.append("at work")
    assert told == ["a starts with 2", "b starts with 2", "at work", "b stops", "a stops"]


async def test_a_worker_does_not_start_with_middleware_that_cannot_and_stops_what_has_started() -> None:
    class Broken(Middleware):
        async def on_worker_start(self, worker: WorkerInfo) -> None:
            raise RuntimeError("no disk")

    told: list[str] = []
    app = App("shop", middleware=[Teller("a", told), Broken()])
    app.function(str)(work)
    with pytest.raises(RuntimeError, match="no disk"):
        async with started(app.functions.values(), "wrk_1"):
            told.append("at work")
    assert told == ["a starts with 1", "a stops"]


async def test_a_client_sends_nothing_that_middleware_keeps_to_itself() -> None:
    class Silent(Middleware):
        async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
            return await next([])

    async def send(events: Sequence[Event[Any]]) -> Any:
        raise AssertionError("nothing is to be sent")

    chain = sending_chain([Silent()])
    assert chain is not None
    assert await send_through(chain, [Event("e", 1)], send) == ()
    assert sending_chain([Twice()]) is None


async def test_middleware_is_awaited_from_blocking_code_beside_a_running_loop_too() -> None:
    async def pause() -> str:
        await asyncio.sleep(0)
        return "done"

    assert blocking(pause) == "done"
    assert await asyncio.to_thread(blocking, pause) == "done"


async def test_outside_of_a_run_a_step_in_middleware_is_an_ordinary_function() -> None:
    @step
    async def add(number: int) -> int:
        return number + 1

    class Adding(Middleware):
        async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
            return (str(await add(1)),)

    async def send(events: Sequence[Event[Any]]) -> tuple[str, ...]:
        return ()

    assert await Chain("", [Adding()]).wrap_send([], send) == ("2",)

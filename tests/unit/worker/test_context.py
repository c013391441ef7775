import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
import structlog.testing
from onward import (
    App,
    CodecError,
    ConfigError,
    Context,
    Event,
    EventType,
    InvokeFailed,
    StepFailed,
    StepInsideStep,
    SyncContext,
    current,
    step,
)
from onward.values.serde import encode
from onward_protocol.messages import Arrived, Due, EventWait, Failed, Failure, Invoke, Match, Returned, Sleep, TimedOut

from .immediate_host import ImmediateHost, event, running


@dataclass
class Order:
    id: str
    total: Decimal


Placed = EventType("shop/placed", Order)
Paid = EventType("shop/paid", Order)
app = App("shop")
ORDER = {"id": "o1", "total": "9.90"}


@app.on(Placed)
async def process(ctx: Context[Order]) -> str:
    return ctx.data.id


@app.on(Placed)
def process_plainly(ctx: SyncContext[Order]) -> Decimal:
    return ctx.data.total


@step
async def double(number: int) -> int:
    return 2 * number


@step
def triple(number: int) -> int:
    return 3 * number


async def odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return number


def placed(host: ImmediateHost) -> Any:
    return running(process, host, events=(event("shop/placed", ORDER),))


def test_the_event_has_its_type() -> None:
    with placed(ImmediateHost()) as ctx:
        assert ctx.data == Order("o1", Decimal("9.90"))
        assert (ctx.event.id, ctx.event.name, ctx.events) == ("evt_1", "shop/placed", (ctx.event,))
        assert ctx.event.ts == datetime.fromtimestamp(1_700_000_000, UTC)


def test_a_run_that_was_started_with_an_input_has_it_as_its_event() -> None:
    with running(process, ImmediateHost(), input=encode(Order("o2", Decimal(1)))) as ctx:
        assert (ctx.data, ctx.event.name, ctx.event.id) == (Order("o2", Decimal(1)), "shop/process", "run_1")


def test_data_that_does_not_fit_names_the_event() -> None:
    bad = event("shop/placed", {"id": 1})
    with (
        running(process, ImmediateHost(), events=(bad,)) as ctx,
        pytest.raises(CodecError, match="data of event 'shop/pl"),
    ):
        _ = ctx.data


def test_a_run_knows_who_it_is() -> None:
    with placed(ImmediateHost()) as ctx:
        assert (ctx.run_id, ctx.function_id, ctx.attempt, ctx.max_attempts) == ("run_1", "shop/process", 1, 5)
        assert current() is ctx
    assert current() is None


@pytest.mark.parametrize("duration", ["10m", 600, timedelta(minutes=10)])
async def test_a_sleep_is_asked_for_in_milliseconds(duration: Any) -> None:
    host = ImmediateHost()
    with placed(host) as ctx:
        await ctx.sleep(duration)
    assert host.asked == [("sleep", Sleep(600_000))]


async def test_a_sleep_until_is_absolute() -> None:
    host = ImmediateHost()
    with placed(host) as ctx:
        await ctx.sleep_until(datetime(2023, 11, 15, tzinfo=UTC), id="pause")
    assert host.asked == [("pause", Sleep(0, 1_700_006_400_000))]


WRONG: list[Callable[[Context[Order]], Coroutine[Any, Any, Any]]] = [
    lambda ctx: ctx.sleep("367d"),
    lambda ctx: ctx.sleep("soon"),
    lambda ctx: ctx.sleep_until(datetime(2999, 1, 1, tzinfo=UTC)),
    lambda ctx: ctx.sleep_until(datetime(2024, 1, 1)),  # noqa: DTZ001 - on purpose
    lambda ctx: ctx.wait_for_event(Paid, timeout="367d"),
    lambda ctx: ctx.wait_for_event(Paid, match="event.data.id == 1"),
    lambda ctx: ctx.map(odd, [1], limit=0),
    lambda ctx: ctx.map(cast("Any", len), ["a"]),
    lambda ctx: ctx.step.run("two\nlines", odd, 1),
    lambda ctx: ctx.send(Event("test/odd", 1, key="half a pair \ud83d")),
    lambda ctx: ctx.send(Event("test/odd", 1, meta=cast("Any", {"n": 1}))),
    lambda ctx: ctx.wait_for_event(Paid, where="async.data.id == '\ud83d'"),
    lambda ctx: ctx.invoke(cast("Any", "shop/invoice"), "o1"),
    lambda ctx: ctx.start(cast("Any", odd), "o1"),
    lambda ctx: ctx.sleep_until(cast("Any", 3)),
    lambda ctx: ctx.send(Event("test/*", 1)),
    lambda ctx: ctx.send(cast("Any", [Event("test/odd", 1)])),
    lambda ctx: ctx.step.run("number", cast("Any", 5)),
    lambda ctx: ctx.step.run(cast("Any", odd), cast("Any", 5)),
]


@pytest.mark.parametrize("call", WRONG)
async def test_a_wrong_argument_is_refused_before_anything_is_asked(
    call: Callable[[Any], Coroutine[Any, Any, Any]],
) -> None:
    host = ImmediateHost()
    with placed(host) as ctx, pytest.raises(ConfigError):
        await call(ctx)
    assert host.asked == []


async def test_an_awaited_event_comes_with_its_type() -> None:
    host = ImmediateHost(answer=Arrived(1, "key", event("shop/paid", ORDER, ord=9)))
    with placed(host) as ctx:
        paid = await ctx.wait_for_event(Paid, match="id", timeout="24h")
    assert paid is not None
    assert paid.data == Order("o1", Decimal("9.90"))
    assert host.asked == [("wait:shop/paid", EventWait("shop/paid", (Match("id", b'"o1"'),), 86_400_000, after=7))]


async def test_a_condition_on_an_awaited_event_goes_to_the_engine_as_it_is() -> None:
    host = ImmediateHost(answer=TimedOut(1, "key"))
    with placed(host) as ctx:
        await ctx.wait_for_event(Paid, where="async.data.total > event.data.total")
    [(_, wait)] = host.asked
    assert wait == EventWait("shop/paid", after=7, where="async.data.total > event.data.total")


async def test_the_next_wait_sees_only_what_came_after_the_last_one() -> None:
    host = ImmediateHost(answer=Arrived(1, "key", event("shop/paid", ORDER, ord=9)))
    with placed(host) as ctx:
        await ctx.wait_for_event(Paid)
        await ctx.wait_for_event(Paid)
        await ctx.wait_for_event(Placed)
        await ctx.wait_for_event(Paid, lookback=False)
    assert [wait.after for _, wait in host.asked] == [7, 9, 7, None]


async def test_a_wait_that_timed_out_gives_none() -> None:
    with placed(ImmediateHost(answer=TimedOut(1, "key"))) as ctx:
        assert await ctx.wait_for_event(Paid, timeout=1) is None


async def test_a_wait_that_the_engine_refuses_raises_with_the_reason() -> None:
    host = ImmediateHost(answer=Failed(1, "key", Failure("TooManyWaits", "1000 are open")))
    with placed(host) as ctx, pytest.raises(StepFailed, match="TooManyWaits: 1000 are open"):
        await ctx.wait_for_event(Paid)


async def test_an_invoked_function_gives_its_typed_result() -> None:
    host = ImmediateHost(answer=Returned(1, "key", encode(Decimal("9.90"))))
    with placed(host) as ctx:
        assert await ctx.invoke(process_plainly, ctx.data, timeout="1h") == Decimal("9.90")
    assert host.asked == [("invoke:shop/process_plainly", Invoke("shop/process_plainly", encode(ORDER), 3_600_000))]


@pytest.mark.parametrize(
    ("answer", "type"),
    [(Failed(1, "k", Failure("Declined", "no", encode({"a": 1}))), "Declined"), (TimedOut(1, "k"), "TimedOut")],
)
async def test_a_child_without_a_result_raises(answer: Any, type: str) -> None:
    with placed(ImmediateHost(answer=answer)) as ctx, pytest.raises(InvokeFailed) as caught:
        await ctx.invoke(process, ctx.data)
    assert (caught.value.type, caught.value.name) == (type, "shop/process")


async def test_events_are_sent_as_json() -> None:
    host = ImmediateHost()
    with placed(host) as ctx:
        assert await ctx.send(Paid(ctx.data, key="ann"), Placed(ctx.data)) == ("evt_0", "evt_1")
        assert await ctx.send() == ()
    [(name, (paid, _))] = host.asked
    assert (name, paid.name, paid.key, msgspec.json.decode(paid.data)) == ("send:shop/paid", "shop/paid", "ann", ORDER)


async def test_any_callable_runs_as_a_step() -> None:
    host = ImmediateHost()
    with placed(host) as ctx:
        assert await ctx.step.run("odd", odd, 1) == 1
        assert await ctx.step.run("plain", len, "abc") == 3
        assert await ctx.step.options(barrier=True).run("double", double, 2) == 4
        assert await ctx.step.run("triple", triple, number=2) == 6
    assert [(name, call.name, call.barrier, call.executor) for name, call in host.asked] == [
        ("odd", "odd", False, "loop"),
        ("plain", "len", False, "thread"),
        ("double", "double", True, "loop"),
        ("triple", "triple", False, "thread"),
    ]


async def test_a_map_keeps_the_order_of_its_items() -> None:
    with placed(ImmediateHost()) as ctx:
        assert await ctx.map(double, range(4), limit=2) == [0, 2, 4, 6]
        assert await ctx.map(triple, range(3)) == [0, 3, 6]
        assert await ctx.map(odd, [1, 3]) == [1, 3]


async def test_a_map_raises_the_failure_itself() -> None:
    with placed(ImmediateHost()) as ctx, pytest.raises(ValueError, match="2 is even"):
        await ctx.map(odd, [1, 2, 3, 4], limit=1)


async def test_a_map_starts_no_more_than_its_limit_at_once() -> None:
    running_now, most = 0, 0

    async def watch(_: int) -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0)
        running_now -= 1

    with placed(ImmediateHost()) as ctx:
        await ctx.map(watch, range(20), limit=3)
    assert most == 3


def test_seeded_values_are_the_same_on_replay_and_different_at_each_call() -> None:
    def values() -> list[object]:
        with placed(ImmediateHost()) as ctx:
            return [ctx.random(), ctx.random(), ctx.uuid(), ctx.uuid(), ctx.now()]

    first = values()
    assert first == values()
    assert len(set(first)) == 5
    assert all(0 <= number < 1 for number in first[:2] if isinstance(number, float))


def test_nothing_is_logged_during_a_replay() -> None:
    host = ImmediateHost()
    with structlog.testing.capture_logs() as lines, placed(host) as ctx:
        host.replaying = True
        ctx.logger.info("repeated")
        host.replaying = False
        ctx.logger.bind(order="o1").warning("new", why="test")
    assert lines == [
        {
            "event": "new",
            "log_level": "warning",
            "run": "run_1",
            "function": "shop/process",
            "attempt": 1,
            "order": "o1",
            "why": "test",
        }
    ]


async def test_a_durable_call_in_a_steps_body_is_refused() -> None:
    with placed(ImmediateHost()) as ctx:
        for call in (lambda: ctx.sleep(1), lambda: ctx.wait_for_event(Paid), lambda: ctx.send(Paid(ctx.data))):
            with pytest.raises(StepInsideStep):
                await ctx.step.run("outer", call)
        with pytest.raises(StepInsideStep, match=r"ctx\.random"):
            await ctx.step.run("outer", ctx.random)


async def test_a_durable_call_outside_of_its_run_is_refused() -> None:
    with placed(ImmediateHost()) as ctx:
        pass
    with pytest.raises(ConfigError, match=r"ctx\.sleep was called outside of the run run_1"):
        await ctx.sleep(1)


def test_a_plain_function_has_the_same_calls_without_await() -> None:
    host = ImmediateHost(answer=Due(1, "key"))
    with running(process_plainly, host, events=(event("shop/placed", ORDER),)) as ctx:
        ctx.sleep("1s")
        ctx.sleep_until(datetime(2023, 11, 15, tzinfo=UTC))
        assert ctx.step.run("len", len, "abc") == 3
        assert ctx.step.run("odd", odd, 1) == 1
        assert ctx.gather(lambda: triple(1), lambda: "a") == (3, "a")
        assert ctx.map(triple, [1, 2], limit=1) == [3, 6]
        assert ctx.send(Paid(ctx.data)) == ("evt_0",)
        assert current() is ctx
    assert [name for name, _ in host.asked] == [
        "sleep",
        "sleep",
        "len",
        "odd",
        "triple",
        "triple",
        "triple",
        "send:shop/paid",
    ]


def test_a_plain_function_waits_and_invokes() -> None:
    host = ImmediateHost(answer=Arrived(1, "key", event("shop/paid", ORDER, ord=9)))
    with running(process_plainly, host, events=(event("shop/placed", ORDER),)) as ctx:
        paid = ctx.wait_for_event(Paid, match="id")
        assert paid is not None
        assert paid.data.id == "o1"
    with running(process_plainly, ImmediateHost(answer=Returned(1, "key", encode("o1"))), input=encode(ORDER)) as ctx:
        assert ctx.invoke(process, Order("o1", Decimal(1))) == "o1"

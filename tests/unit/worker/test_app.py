import types
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from onward import (
    App,
    Checkpoint,
    Concurrency,
    ConfigError,
    Context,
    EventType,
    NonRetryable,
    Retry,
    SyncContext,
    step,
)
from onward.app import functions_in, manifests
from onward.function import Function
from onward.values.serde import encode
from onward_protocol.messages import AppManifest, ConcurrencyLimit, Failure, FunctionManifest, Trigger

from .immediate_host import ImmediateHost, running


@dataclass
class Order:
    id: str


Placed = EventType("shop/placed", Order)


@step
async def broken_step() -> Fraction:
    return Fraction(1, 2)


BrokenEvent = EventType("shop/broken", Fraction)
other_module = types.ModuleType("other_module")
other_module.also_broken = step(id="also")(broken_step.fn)  # type: ignore[attr-defined]  # a module made by hand


async def work(ctx: Context[Order]) -> str:
    return ctx.data.id


def shop(**settings: Any) -> App:
    return App("shop", **settings)


def test_a_function_is_registered_under_the_apps_name() -> None:
    app = shop()
    function = app.on(Placed)(work)
    assert app.on(Placed, id="other")(work).id == "shop/other"
    assert app.functions == {"shop/work": function, "shop/other": app.functions["shop/other"]}


def test_two_functions_of_one_id_are_refused_with_both_places() -> None:
    app = shop()
    app.on(Placed)(work)
    with pytest.raises(
        ConfigError, match=r"two functions have the id 'shop/work': .*test_app.py:\d+ and .*test_app.py:\d+"
    ):
        app.function(Order)(work)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x!failure", "ä", "x" * 161])
def test_a_name_that_cannot_be_part_of_an_id_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        App(name)


def test_options_come_from_the_function_then_the_app() -> None:
    app = shop(retry=Retry(attempts=2), checkpoint=Checkpoint.PIPELINED)
    plain = app.on(Placed)(work)
    own = app.on(Placed, id="own", retry=Retry(attempts=3), checkpoint=Checkpoint.SAFE)(work)
    assert (plain.retry.attempts, plain.checkpoint) == (2, Checkpoint.PIPELINED)
    assert (own.retry.attempts, own.checkpoint) == (3, Checkpoint.SAFE)


def test_the_engine_is_told_what_it_needs_to_know() -> None:
    app = shop(version="7")

    async def refund(ctx: Context[Order], error: BaseException) -> None: ...

    large = "event.data.total > 100"
    app.on(Placed, when=large, concurrency=Concurrency(1, key="event.data.id"), on_failure=refund)(work)

    @app.function(Order)
    def invoice(ctx: SyncContext[Order]) -> None: ...

    assert invoice.is_sync
    assert manifests(app.functions.values()) == (
        AppManifest(
            "shop",
            "7",
            (
                FunctionManifest(
                    "shop/work",
                    (Trigger("shop/placed", large),),
                    (ConcurrencyLimit(1, "event.data.id"),),
                    "shop/work!failure",
                ),
                FunctionManifest("shop/work!failure"),
                FunctionManifest("shop/invoice", sync=True),
            ),
        ),
    )


async def test_a_failure_handler_gets_the_input_and_the_error() -> None:
    seen: list[Any] = []

    async def refund(ctx: Context[Order], error: BaseException) -> None:
        seen.extend((ctx.data, error))

    app = shop()
    app.on(Placed, on_failure=refund)(work)
    handler = app.functions["shop/work!failure"]
    with running(handler, ImmediateHost(), input=encode(Order("o1")), cause=Failure("NonRetryable", "no")) as ctx:
        await handler.fn(ctx)
    order, error = seen
    assert order == Order("o1")
    assert isinstance(error, NonRetryable)
    assert error.message == "no"


def test_a_plain_failure_handler_runs_like_a_plain_function() -> None:
    app = shop()
    app.on(Placed, on_failure=lambda ctx, error: f"{ctx.data.id} {error}")(work)
    handler = app.functions["shop/work!failure"]
    assert handler.is_sync
    assigned = {"input": encode(Order("o1")), "cause": Failure("Declined", "no"), "parent": "run_0"}
    with running(handler, ImmediateHost(), **assigned) as ctx:
        assert handler.fn(ctx) == "o1 run 'run_0' failed: Declined: no"


def test_another_app_can_be_included_and_keeps_its_own_ids() -> None:
    app, other = shop(), App("crawler", retry=Retry(attempts=1))
    other.on(Placed)(work)
    app.include(other)
    app.include(other)  # twice is no conflict
    assert app.functions["crawler/work"].retry.attempts == 1
    assert [manifest.name for manifest in manifests(app.functions.values())] == ["crawler"]


def test_a_module_can_be_included() -> None:
    module = types.ModuleType("orders")
    part = App("part")
    vars(module).update(app=part, work=part.on(Placed)(work), number=1)
    app = shop()
    app.include(module)
    assert list(app.functions) == ["part/work"]


def test_an_app_with_a_lifespan_of_its_own_cannot_be_included() -> None:
    @asynccontextmanager
    async def lifespan(_: App) -> AsyncGenerator[None]:
        yield

    other = App("other", lifespan=lifespan)
    other.on(Placed)(work)
    with pytest.raises(ConfigError, match="'other', which has a lifespan"):
        shop().include(other)


def test_a_worker_loads_apps_functions_lists_and_modules() -> None:
    app = shop()
    function = app.on(Placed)(work)
    module = types.ModuleType("module")
    module.functions = app  # type: ignore[attr-defined]  # a module made by hand
    assert all(
        functions_in(target) == {"shop/work": function}
        for target in (app, function, [function], (app, function), module)
    )
    with pytest.raises(ConfigError, match="not something that a worker can load"):
        functions_in("app:functions")


def test_check_accepts_what_can_be_kept() -> None:
    app = shop()
    app.on(Placed)(work)
    app.check()


async def returns_a_fraction(ctx: Context[Order]) -> Fraction:
    return Fraction(1, 2)


async def calls_a_broken_step(ctx: Context[Order]) -> None:
    await broken_step()


async def waits_for_a_broken_event(ctx: Context[Order]) -> None:
    await ctx.wait_for_event(BrokenEvent)


async def calls_it_through_a_module(ctx: Context[Order]) -> None:
    await other_module.also_broken()


@pytest.mark.parametrize(
    ("fn", "named"),
    [
        (returns_a_fraction, "result of function 'shop/returns_a_fraction'"),
        (calls_a_broken_step, "result of step 'broken_step'"),
        (waits_for_a_broken_event, "data of event 'shop/broken'"),
        (calls_it_through_a_module, "result of step 'also'"),
    ],
)
def test_check_names_what_cannot_be_kept(fn: Callable[[Context[Order]], Any], named: str) -> None:
    app = shop()
    app.function(Order)(fn)
    with pytest.raises(ConfigError, match=f"{named} cannot be kept: there is no encoding for Fraction"):
        app.check()


def test_check_finds_a_step_that_is_named_in_a_lambda_or_around_the_function() -> None:
    local = step(id="local")(broken_step.fn)
    app = shop()

    @app.function(Order)
    async def main(ctx: Context[Order]) -> None:
        await ctx.map(lambda _: local(), [1])

    assert main.id == "shop/main"
    with pytest.raises(ConfigError, match="step 'local'"):
        app.check()


def test_check_looks_into_failure_handlers() -> None:
    async def handler(ctx: Context[Order], error: BaseException) -> None:
        await broken_step()

    app = shop()
    app.function(Order, on_failure=handler)(work)
    with pytest.raises(ConfigError, match="step 'broken_step'") as caught:
        app.check()
    assert "test_app.py" in caught.value.where


def takes_nothing() -> None: ...


def takes_two(ctx: Context[Order], more: int) -> None: ...


@pytest.mark.parametrize("fn", [takes_nothing, takes_two])
def test_a_function_that_does_not_take_a_context_is_refused(fn: Any) -> None:
    with pytest.raises(ConfigError, match=r"function 'shop/odd': it cannot be called with \(ctx\)"):
        shop().on(Placed, id="odd")(fn)


def test_a_failure_handler_that_does_not_take_an_error_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"function 'shop/work', option 'on_failure': it cannot be called with \(ctx, error\)"
    ):
        shop().on(Placed, on_failure=work)(work)  # type: ignore[arg-type]  # wrong on purpose


def test_check_tells_all_problems_at_once() -> None:
    app = shop()
    app.function(Fraction)(returns_a_fraction)  # type: ignore[arg-type]  # the input is wrong on purpose
    app.function(Order)(calls_a_broken_step)
    app.on(EventType("shop/odd", Fraction), id="odd")(work)  # type: ignore[arg-type]  # as above
    with pytest.raises(ConfigError, match=r"3 problems") as caught:
        app.check()
    assert all(
        text in str(caught.value)
        for text in ("input of function 'shop/returns_a", "step 'broken_step'", "input of function 'shop/odd'")
    )


def test_a_name_instead_of_an_event_type_is_answered_with_what_to_write() -> None:
    name: Any = "shop/order.placed"
    with pytest.raises(ConfigError, match=r"on\(\) takes an EventType, not 'shop/order.placed'"):
        shop().on(name)


def test_results_come_back_with_the_functions_type() -> None:
    function: Function[Order, Order] = shop().function(Order)(_echo)
    assert function.read_output(function.encode_output(Order("o1"))) == Order("o1")


async def _echo(ctx: Context[Order]) -> Order:
    return ctx.data

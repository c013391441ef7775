"""How flow control is declared: what the engine is told, and what is refused where it is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onward import (
    App,
    Batch,
    Concurrency,
    ConfigError,
    Context,
    Cron,
    Debounce,
    EventType,
    Fair,
    Function,
    Idempotency,
    Priority,
    RateLimit,
    Retry,
    Singleton,
    Throttle,
)
from onward.values.expressions import expression_problem, key_problem
from onward_protocol.messages import (
    BatchRule,
    ConcurrencyLimit,
    DebounceRule,
    FairRule,
    IdempotencyRule,
    RateRule,
    SingletonRule,
    ThrottleRule,
)

Placed = EventType("shop/placed", dict[str, Any])
KEY = "event.data.customer"


async def work(ctx: Context[Any]) -> int:
    return len(ctx.events)


def declared(trigger: Any = Placed, **options: Any) -> Function[Any, int]:
    return App("shop").on(trigger, **options)(work)


def refusal(trigger: Any = Placed, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        declared(trigger, **options)
    return caught.value


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("concurrency", Concurrency(5), (ConcurrencyLimit(5),)),
        (
            "concurrency",
            [Concurrency(1, KEY), Concurrency(50, scope="environment", of="run")],
            (ConcurrencyLimit(1, KEY), ConcurrencyLimit(50, "", "environment", "run")),
        ),
        ("throttle", Throttle(10, "1m"), ThrottleRule(10, 60_000)),
        ("throttle", Throttle(10, timedelta(minutes=1), KEY, 3), ThrottleRule(10, 60_000, 3, KEY)),
        ("rate_limit", RateLimit(100, 3_600, KEY), RateRule(100, 3_600_000, KEY)),
        ("debounce", Debounce("5s"), DebounceRule(5_000)),
        ("debounce", Debounce(5, KEY, timeout="1m", deliver="all"), DebounceRule(5_000, KEY, 60_000, "all")),
        ("batch", Batch(100, "30s", KEY, "event.data.n < 9"), BatchRule(100, 30_000, KEY, "event.data.n < 9")),
        ("priority", Priority("event.data.paid ? 60 : 0"), "event.data.paid ? 60 : 0"),
        ("priority", Priority(-600), "-600"),
        ("priority", Priority(0.5), "0.5"),
        ("priority", Priority("urgent"), '"urgent"'),
        ("fair", Fair(KEY, weight="event.data.seats"), FairRule(KEY, "event.data.seats")),
        ("singleton", Singleton(), SingletonRule()),
        ("singleton", Singleton(KEY, "cancel"), SingletonRule(KEY, "cancel")),
        ("idempotency", Idempotency(KEY), IdempotencyRule(KEY, 86_400_000)),
        ("idempotency", Idempotency(KEY, ttl="1h"), IdempotencyRule(KEY, 3_600_000)),
    ],
)
def test_the_engine_is_told_what_was_declared(option: str, value: Any, told: Any) -> None:
    assert getattr(declared(**{option: value}).manifest(), option) == told


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("concurrency", Concurrency(0), "its limit is 0, not 1 to 1,000,000"),
        ("concurrency", Concurrency(-1), "its limit is -1"),
        ("concurrency", [Concurrency(1), Concurrency(2, KEY), Concurrency(3, scope="app")], "3 limits; 2 are possible"),
        ("concurrency", [Concurrency(1, KEY), Concurrency(2, KEY, of="run")], "the scope 'function' and the same key"),
        ("throttle", Throttle(0, "1m"), "its limit is 0"),
        ("throttle", Throttle(1, 0), "its period in ms is 0"),
        ("throttle", Throttle(1, "367d"), "its period in ms is 31,708,800,000"),
        ("throttle", Throttle(1, "1m", burst=0), "its burst is 0"),
        ("rate_limit", RateLimit(0, "1m"), "its limit is 0"),
        ("rate_limit", RateLimit(1, 0), "its period in ms is 0"),
        ("debounce", Debounce("999ms"), "its period in ms is 999, not 1,000 to 604,800,000"),
        ("debounce", Debounce("7d1s"), "its period in ms is 604,801,000"),
        ("debounce", Debounce("10s", timeout="9s"), "its timeout, 9,000 ms, is shorter than its period"),
        ("batch", Batch(0, "1m"), "its size is 0, not 1 to 1,000"),
        ("batch", Batch(1_001, "1m"), "its size is 1,001"),
        ("batch", Batch(2, 0), "its timeout in ms is 0"),
        ("priority", Priority(601), "601 is no number of seconds from -600 to 600"),
        ("priority", Priority(float("nan")), "nan is no number of seconds"),
        ("idempotency", Idempotency(KEY, ttl=0), "its ttl in ms is 0"),
    ],
)
def test_an_impossible_number_names_the_function_and_the_option(option: str, value: Any, said: str) -> None:
    refused = str(refusal(**{option: value}))
    assert refused.startswith(f"function 'shop/work', option '{option}': ")
    assert said in refused


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("concurrency", Concurrency(1, "customer"), "the key 'customer' does not read `event`"),
        ("concurrency", Concurrency(1, "event..customer"), "the key 'event..customer' has a '.' without a name"),
        ("throttle", Throttle(1, "1m", "(event.data.a"), "a bracket without its counterpart"),
        ("rate_limit", RateLimit(1, "1m", "data.customer"), "does not read `event`"),
        ("debounce", Debounce("1m", "event.data['a]"), "a text without its end"),
        ("batch", Batch(2, "1m", "'event'"), "does not read `event`"),
        ("batch", Batch(2, "1m", when=" "), "the when ' ' is empty"),
        ("priority", Priority(""), "the expression '' is empty"),
        ("priority", Priority("(event.data.n"), "a bracket without its counterpart"),
        ("fair", Fair(""), "the key '' is empty"),
        ("fair", Fair(KEY, "event.data."), "the weight 'event.data.' has a '.' without a name"),
        ("singleton", Singleton("x" * 4_097), "is 4,097 characters long"),
        ("idempotency", Idempotency(""), "the key '' is empty"),
    ],
)
def test_what_cannot_be_an_expression_names_the_function_and_the_option(option: str, value: Any, said: str) -> None:
    refused = refusal(**{option: value})
    assert refused.code == "E0127"
    assert refused.message.startswith(f"function 'shop/work', option '{option}': ")
    assert said in refused.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 5}, "option 'concurrency': 5 is not a Concurrency"),
        ({"concurrency": [5]}, "option 'concurrency': 5 is not a Concurrency"),
        ({"concurrency": "5"}, "option 'concurrency': '5' is not a Concurrency"),
        ({"throttle": 5}, "option 'throttle': 5 is not a Throttle"),
        ({"batch": Debounce("5s")}, "is not a Batch"),
        ({"concurrency": Concurrency("5")}, "option 'concurrency': its limit is '5', no whole number"),  # type: ignore[arg-type]  # on purpose
        ({"concurrency": Concurrency(2.5)}, "its limit is 2.5, no whole number"),  # type: ignore[arg-type]  # as above
        ({"concurrency": Concurrency(True)}, "its limit is True, no whole number"),
        ({"concurrency": Concurrency(1, scope="world")}, "its scope is 'world', not 'function' or 'app' or"),  # type: ignore[arg-type]  # as above
        ({"concurrency": Concurrency(1, of="all")}, "its of is 'all', not 'step' or 'run'"),  # type: ignore[arg-type]  # as above
        ({"debounce": Debounce("5s", deliver="first")}, "its deliver is 'first', not 'last' or 'all'"),  # type: ignore[arg-type]  # as above
        ({"singleton": Singleton(mode="queue")}, "its mode is 'queue', not 'skip' or 'cancel'"),  # type: ignore[arg-type]  # as above
        ({"debounce": Debounce("soon")}, "option 'debounce': its period: 'soon' is not a duration"),
        ({"batch": Batch(2, "-5s")}, "option 'batch': its timeout: '-5s' is not a duration"),
        ({"throttle": Throttle(1, -1)}, "option 'throttle': its period: the duration -1 is negative"),
        ({"singleton": Singleton(5)}, "option 'singleton', its key: 5 is not valid text"),  # type: ignore[arg-type]  # as above
        ({"priority": Priority(None)}, "option 'priority', its expression: None is not valid text"),  # type: ignore[arg-type]  # as above
        ({"priority": Priority(True)}, "option 'priority': True is no number of seconds"),
    ],
)
def test_a_value_of_another_kind_is_named(options: dict[str, Any], said: str) -> None:
    refused = refusal(**options).message
    assert refused.startswith("function 'shop/work', ")
    assert said in refused


ONE_OF_EACH = {
    "batch": Batch(2, "1m"),
    "debounce": Debounce("1m"),
    "rate_limit": RateLimit(1, "1m"),
    "singleton": Singleton(),
    "priority": Priority(1),
    "fair": Fair(KEY),
    "idempotency": Idempotency(KEY),
    "throttle": Throttle(1, "1m"),
    "concurrency": Concurrency(1),
}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("batch", "debounce"),
        ("batch", "rate_limit"),
        ("batch", "singleton"),
        ("batch", "priority"),
        ("batch", "idempotency"),
        ("debounce", "singleton"),
        ("priority", "fair"),
    ],
)
def test_options_that_exclude_each_other_are_both_named(one: str, other: str) -> None:
    refused = refusal(**{name: ONE_OF_EACH[name] for name in (one, other)})
    assert refused.message == (
        f"function 'shop/work', option '{one}': it cannot be combined with option '{other}'; keep one of the two."
    )
    assert "take one out" in refused.help


def test_all_other_options_go_together() -> None:
    declared(**{name: option for name, option in ONE_OF_EACH.items() if name not in ("batch", "debounce", "fair")})
    declared(**{name: ONE_OF_EACH[name] for name in ("debounce", "rate_limit", "fair", "idempotency", "throttle")})
    declared(**{name: ONE_OF_EACH[name] for name in ("batch", "fair", "throttle", "concurrency")})


@pytest.mark.parametrize("option", ["rate_limit", "debounce", "batch", "singleton", "idempotency"])
def test_what_is_about_events_needs_an_event(option: str) -> None:
    given: Any = {option: ONE_OF_EACH[option]}
    said = f"option '{option}': it is about events, and no event starts the function"
    with pytest.raises(ConfigError, match=said) as caught:
        App("shop").function(int, **given)(work)
    assert "what is called always starts" in caught.value.help
    with pytest.raises(ConfigError, match=said):
        App("shop").cron("@daily", **given)(work)
    declared(Placed | Cron("@daily"), **given)


def test_what_is_about_runs_is_possible_for_all_functions() -> None:
    given: Any = {name: ONE_OF_EACH[name] for name in ("concurrency", "throttle", "priority")}
    App("shop").function(dict[str, Any], **given)(work)
    App("shop").cron("@daily", throttle=Throttle(1, "1m"), fair=Fair("event.ts"))(work)


@pytest.mark.parametrize("call", ["on", "function"])
def test_a_misspelt_option_is_named_with_the_call(call: str) -> None:
    app: Any = App("shop")
    with pytest.raises(TypeError, match=rf"{call}\(\) got an unexpected keyword argument 'concurency'"):
        getattr(app, call)(Placed, concurency=Concurrency(1))


def test_a_failure_handler_is_under_no_limit_of_its_function() -> None:
    async def refund(ctx: Context[dict[str, Any]], error: BaseException) -> None: ...

    function = declared(on_failure=refund, concurrency=Concurrency(1), throttle=Throttle(1, "1h"), fair=Fair(KEY))
    assert function.failure_handler
    told = function.failure_handler.manifest()
    assert (told.concurrency, told.throttle, told.fair) == ((), None, None)


def test_the_same_function_with_other_options_keeps_the_rest() -> None:
    async def refund(ctx: Context[dict[str, Any]], error: BaseException) -> None: ...

    first = declared(on_failure=refund, retry=Retry(attempts=2), throttle=Throttle(1, "1m"), batch=Batch(2, "1m"))
    second = first.with_options(id="bulk", throttle=None, batch=Batch(9, "1m"), retry=None)
    told = second.manifest()
    assert (second.id, told.triggers, told.on_failure) == ("shop/bulk", first.manifest().triggers, "shop/bulk!failure")
    assert (told.throttle, told.batch) == (None, BatchRule(9, 60_000))
    assert (second.retry.attempts, first.retry.attempts) == (5, 2)
    assert first.manifest().batch == BatchRule(2, 60_000)


def test_the_same_function_with_other_options_can_be_loaded_or_included() -> None:
    app = App("shop")
    first = app.on(Placed)(work)
    with pytest.raises(ConfigError, match="two functions have the id 'shop/work'"):
        app.include(first.with_options(concurrency=Concurrency(1)))
    app.include(first.with_options(id="bulk", concurrency=Concurrency(1)))
    assert list(app.functions) == ["shop/work", "shop/bulk"]


def test_other_options_are_checked_as_the_first_ones() -> None:
    function = App("shop").function(int)(work)
    with pytest.raises(ConfigError, match="function 'shop/bulk', option 'throttle': its limit is 0"):
        function.with_options(id="bulk", throttle=Throttle(0, "1m"))
    with pytest.raises(ConfigError, match="option 'batch': it is about events"):
        function.with_options(batch=Batch(2, "1m"))
    with pytest.raises(ConfigError, match="name"):
        function.with_options(id="a/b")
    misspelt: Any = {"trottle": None}
    with pytest.raises(TypeError, match="trottle"):
        function.with_options(**misspelt)


def test_check_finds_a_condition_that_cannot_be_one() -> None:
    function = declared(when="(event.data.total > 100")
    with pytest.raises(ConfigError, match=r"function 'shop/work', option 'when': the expression .* has a bracket"):
        function.app.check()


@pytest.mark.parametrize(
    "source",
    [
        "event.data.customer",
        "event.data['a'] + \"it's\"",
        r"event.data.path == r'C:\'",
        "// it's a comment (\nevent.data.n",
        "event.data.items.map(x, x.id)",
        '"""a "quoted" (text""" + event.name',
        "has(event.data.n) ? event.data.n : .5",
        "event.\n  data.n",
    ],
)
def test_what_the_engine_reads_is_let_through(source: str) -> None:
    assert key_problem(source) is None


@given(st.text(alphabet="event.data[](){}'\"\\/r \n,:", max_size=60))
def test_any_text_is_judged(source: str) -> None:
    assert expression_problem(source) is None or key_problem(source)

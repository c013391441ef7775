from collections.abc import Callable
from typing import Any, cast

import pytest
from onward import App, CancelOn, ConfigError, Context, Cron, EventType, Retry, Worker, step


def test_five_attempts_are_the_default() -> None:
    assert Retry().attempts == 5


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Retry(attempts=0), "attempts"),
        (lambda: Retry(attempts=22), "attempts"),
        (lambda: Retry(factor=0.5), "factor"),
        (lambda: Retry(jitter=2), "jitter"),
        (lambda: Retry(backoff="soon"), "backoff"),
        (lambda: Retry(max_backoff="25h"), "max_backoff"),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_written(make: Callable[[], Any], option: str) -> None:
    with pytest.raises(ConfigError, match=f"option '{option}"):
        make()


Placed = EventType("shop/placed", int)
anything: Any = 5
"""What a type checker would not let pass."""


text: Any = "5"


async def pay(ctx: Context[int]) -> int:
    return ctx.data


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: App("shop", version=anything), "App 'shop', option 'version': 5"),
        (lambda: App(anything), "App: 5"),
        (lambda: EventType(anything, int), "EventType: 5"),
        (lambda: Placed(1, at=anything), "5 is no datetime"),
        (lambda: App("shop").on(Placed, when=anything)(pay), "function 'shop/pay', option 'when': 5"),
        (lambda: App("shop").on(Placed.when(anything))(pay), "function 'shop/pay', option 'when': 5"),
        (lambda: App("shop").on(Placed, labels={"team": anything})(pay), "function 'shop/pay', option 'labels': 5"),
        (lambda: App("shop").on(Placed, cancel_on=anything)(pay), "function 'shop/pay', option 'cancel_on': 5"),
        (lambda: CancelOn(anything), "CancelOn, option 'event': 5"),
        (lambda: CancelOn(Placed, match=anything), r"CancelOn\('shop/placed'\), option 'match': 5"),
        (lambda: CancelOn(Placed, where=anything), r"CancelOn\('shop/placed'\), option 'where': 5"),
        (lambda: Cron(anything), r"Cron\(5\), option 'expression': 5"),
        (lambda: Cron("@daily", tz=anything), r"Cron\('@daily'\), option 'tz': 5"),
        (lambda: step(cast("Callable[[], int]", anything)), "step 'int': 5 cannot be called"),
        (lambda: Worker(App("shop"), concurrency=text), "concurrency is 1 to 10000, not '5'"),
    ],
)
def test_a_value_of_another_kind_is_refused_before_a_worker_connects(make: Callable[[], Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make()


def test_a_name_instead_of_a_rule_is_named_whole() -> None:
    name: Any = "shop/withdrawn"
    with pytest.raises(ConfigError, match="option 'cancel_on': 'shop/withdrawn' is not a CancelOn"):
        App("shop").on(Placed, cancel_on=name)(pay)


def test_a_misspelt_option_of_a_step_is_named_with_its_place() -> None:
    options: Any = {"retries": 3}
    with pytest.raises(TypeError, match=r"step\(\) got an unexpected keyword argument 'retries'"):
        step(**options)

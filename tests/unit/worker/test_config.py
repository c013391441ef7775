from collections.abc import Callable
from typing import Any

import pytest
from onward import Concurrency, ConfigError, Retry


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
        (lambda: Concurrency(0), "limit"),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_written(make: Callable[[], Any], option: str) -> None:
    with pytest.raises(ConfigError, match=f"option '{option}"):
        make()


@pytest.mark.parametrize(
    "key", ["customer", "event", "event.name", "event.data.", "event.data.a-b", "event.data.a + 1", "len(event.data)"]
)
def test_a_key_that_is_no_path_names_the_function_and_the_option(key: str) -> None:
    with pytest.raises(ConfigError, match=r"function 'shop/pay', option 'concurrency'"):
        Concurrency(1, key=key).check("shop/pay")


def test_a_path_is_a_key() -> None:
    Concurrency(1, key="event.data.customer.id").check("shop/pay")

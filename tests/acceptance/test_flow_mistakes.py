"""What flow control cannot be is said when the worker starts, by function and option; the engine has none of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from onward import (
    App,
    Batch,
    Concurrency,
    Context,
    Debounce,
    EventType,
    Fair,
    Idempotency,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
)

from tests.acceptance.flow import Job
from tests.acceptance.house import House

functions = App("mistakes")
Placed = EventType("mistakes/placed", Job)
KEY = "event.data.key"

MISTAKES: Mapping[str, tuple[Callable[[], dict[str, Any]], tuple[str, ...]]] = {
    "two limits of one kind": (
        lambda: {"concurrency": [Concurrency(2, key=KEY), Concurrency(1, key=KEY)]},
        ("concurrency",),
    ),
    "three limits": (
        lambda: {"concurrency": [Concurrency(2), Concurrency(1, key=KEY), Concurrency(3, scope="app")]},
        ("concurrency",),
    ),
    "a key that is no expression": (lambda: {"throttle": Throttle(1, "1m", key="event..x")}, ("throttle", "key")),
    "a key of nothing": (lambda: {"singleton": Singleton(key="1 + 1")}, ("singleton", "key")),
    "an unknown word": (lambda: {"priority": Priority("evnt.data.rank")}, ("priority", "evnt")),
    "a batch that debounces": (lambda: {"batch": Batch(5, "1m"), "debounce": Debounce("1m")}, ("batch", "debounce")),
    "a batch with a rate": (
        lambda: {"batch": Batch(5, "1m"), "rate_limit": RateLimit(5, "1m")},
        ("batch", "rate_limit"),
    ),
    "a batch of one of a key": (
        lambda: {"batch": Batch(5, "1m"), "idempotency": Idempotency(KEY)},
        ("batch", "idempotency"),
    ),
    "one at a time, later": (
        lambda: {"debounce": Debounce("1m"), "singleton": Singleton()},
        ("debounce", "singleton"),
    ),
    "no room": (lambda: {"concurrency": Concurrency(0)}, ("concurrency", "limit")),
    "no time": (lambda: {"throttle": Throttle(1, "0s")}, ("throttle", "period")),
    "less than none": (lambda: {"rate_limit": RateLimit(-1, "1h")}, ("rate_limit", "limit")),
    "hardly any quiet": (lambda: {"debounce": Debounce("1ms")}, ("debounce", "period")),
    "too many": (lambda: {"batch": Batch(1_001, "1m")}, ("batch", "size")),
    "fair and urgent": (lambda: {"fair": Fair(KEY), "priority": Priority("1")}, ("fair", "priority")),
}

if (mistake := os.environ.get("MISTAKE_OF_TEST", "")) in MISTAKES:

    @functions.on(Placed, **MISTAKES[mistake][0]())
    async def broken(ctx: Context[Job]) -> str:
        return ctx.data.name


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_function_and_option(house: House, mistake: str) -> None:
    house.environment["MISTAKE_OF_TEST"] = mistake
    try:
        words = house.worker_refused("tests.acceptance.test_flow_mistakes:functions")
    finally:
        del house.environment["MISTAKE_OF_TEST"]
    _, wanted = MISTAKES[mistake]
    assert [word for word in ("mistakes/broken", *wanted) if word not in words] == []
    assert "Traceback" not in words
    house.home.joinpath("refused.log").unlink()

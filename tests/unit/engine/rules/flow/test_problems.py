"""What is refused when a worker registers, with the function and the option."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from onward_engine.rules.flow.problems import problem
from onward_protocol.messages import (
    BatchRule,
    ConcurrencyLimit,
    DebounceRule,
    FairRule,
    FunctionManifest,
    IdempotencyRule,
    RateRule,
    SingletonRule,
    ThrottleRule,
    Trigger,
)

FUNCTION = FunctionManifest("shop/work", (Trigger("shop/placed"),))
KEY = "event.data.customer"


def said_of(**options: Any) -> str | None:
    return problem(replace(FUNCTION, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": (ConcurrencyLimit(1, KEY), ConcurrencyLimit(9, "", "app", "run"))},
        {"throttle": ThrottleRule(1, 1_000, 1, "event.data['a b']")},
        {"rate_limit": RateRule(1, 1_000, "event.name")},
        {"debounce": DebounceRule(1_000, KEY, 5_000, "all")},
        {"batch": BatchRule(10, 1_000, KEY, "event.data.total < 100")},
        {"priority": "event.data.is_paid ? 60 : 0"},
        {"priority": "event.data.is_down ? 'urgent' : -5"},
        {"priority": '"urgent"'},
        {"priority": "-600"},
        {"fair": FairRule(KEY, "event.data.seats")},
        {"fair": FairRule(KEY, "0.5")},
        {"singleton": SingletonRule(KEY)},
        {"idempotency": IdempotencyRule("[event.data.a, event.data.b]", 1_000)},
    ],
)
def test_options_that_can_be_kept_are_taken(options: dict[str, Any]) -> None:
    assert said_of(**options) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": (ConcurrencyLimit(1, "customer"),)}, "'concurrency': its key: there is no variable customer"),
        ({"throttle": ThrottleRule(1, 1_000, 1, "event..x")}, "'throttle': its key: "),
        ({"rate_limit": RateRule(1, 1_000, "event.dta.x")}, "'rate_limit': its key: event has no field dta"),
        ({"debounce": DebounceRule(1_000, "'a'")}, "'debounce': its key: the expression \"'a'\" reads nothing of"),
        ({"batch": BatchRule(1, 1_000, "async.data.x")}, "'batch': its key: there is no variable async"),
        ({"batch": BatchRule(1, 1_000, when="1 + 1")}, "'batch': its 'when': it can never be true or false"),
        ({"priority": "urgent"}, "'priority': its expression: there is no variable urgent"),
        ({"priority": "event.data.n +"}, "'priority': its expression: "),
        ({"priority": "601"}, "'priority': its expression: 601 is neither a number of seconds from -600 to 600 nor"),
        ({"priority": "'soon'"}, "'priority': its expression: 'soon' is neither"),
        ({"priority": "true"}, "'priority': its expression: True is neither"),
        ({"priority": "1 / 0"}, "'priority': its expression: "),
        ({"fair": FairRule("5")}, "'fair': its key: the expression '5' reads nothing of the event"),
        ({"fair": FairRule(KEY, "0")}, "'fair': its weight: 0 is no weight from 0.001 to 1000"),
        ({"singleton": SingletonRule("event.data[")}, "'singleton': its key: "),
        ({"idempotency": IdempotencyRule("len(event)", 1_000)}, "'idempotency': its key: "),
        ({"batch": BatchRule(2_000, 1_000)}, "'batch': its size is 2,000, not 1 to 1,000"),
        ({"fair": FairRule("")}, "'fair': it needs a key"),
        ({"idempotency": IdempotencyRule("", 1_000)}, "'idempotency': it needs a key"),
        ({"fair": FairRule(KEY), "priority": "1"}, "'priority': it cannot be combined with option 'fair'; keep one"),
    ],
)
def test_what_cannot_be_kept_names_the_function_and_the_option(options: dict[str, Any], said: str) -> None:
    found = said_of(**options) or ""
    assert found.startswith("shop/work, option '")
    assert said in found

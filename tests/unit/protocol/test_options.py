"""What no engine takes, however it was declared: manifests of any SDK are judged alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
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
from onward_protocol.options import EXCLUSIVE, option_problem

from tests.unit.protocol.anything import anything

FUNCTION = FunctionManifest("shop/work", (Trigger("shop/placed"),))
FULL: dict[str, Any] = {
    "batch": BatchRule(2, 1_000),
    "debounce": DebounceRule(1_000),
    "rate_limit": RateRule(1, 1_000),
    "singleton": SingletonRule(),
    "priority": "1",
    "fair": FairRule("event.data.k"),
    "idempotency": IdempotencyRule("event.data.k", 1_000),
}


def with_options(**options: Any) -> FunctionManifest:
    return replace(FUNCTION, **options)


@pytest.mark.parametrize("pair", EXCLUSIVE)
def test_of_two_options_that_exclude_each_other_both_are_named(pair: tuple[str, str]) -> None:
    problem = option_problem(with_options(**{name: FULL[name] for name in pair}))
    assert problem is not None
    assert problem.kind == "conflict"
    assert problem.option == pair[0]
    assert f"option '{pair[1]}'" in problem.what


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"concurrency": (ConcurrencyLimit(0),)}, "concurrency"),
        ({"concurrency": (ConcurrencyLimit(1_000_001),)}, "concurrency"),
        ({"concurrency": tuple(ConcurrencyLimit(1, f"event.data.{n}") for n in "abc")}, "concurrency"),
        ({"concurrency": (ConcurrencyLimit(1), ConcurrencyLimit(2, of="run"))}, "concurrency"),
        ({"throttle": ThrottleRule(0, 1_000)}, "throttle"),
        ({"throttle": ThrottleRule(1, 1_000, 0)}, "throttle"),
        ({"rate_limit": RateRule(1, 0)}, "rate_limit"),
        ({"debounce": DebounceRule(999)}, "debounce"),
        ({"debounce": DebounceRule(1_000, timeout_ms=0)}, "debounce"),
        ({"batch": BatchRule(1_001, 1_000)}, "batch"),
        ({"idempotency": IdempotencyRule("event.data.k", 0)}, "idempotency"),
    ],
)
def test_an_impossible_number_names_its_option(options: dict[str, Any], option: str) -> None:
    problem = option_problem(with_options(**options))
    assert problem is not None
    assert problem.option == option


@pytest.mark.parametrize("option", ["rate_limit", "debounce", "batch", "singleton", "idempotency"])
def test_what_is_about_events_needs_an_event(option: str) -> None:
    problem = option_problem(FunctionManifest("shop/work", **{option: FULL[option]}))
    assert problem is not None
    assert problem.option == option


def test_limits_of_other_scopes_or_keys_go_together() -> None:
    one = ConcurrencyLimit(1)
    for other in (ConcurrencyLimit(1, "event.data.k"), ConcurrencyLimit(1, scope="app")):
        assert option_problem(with_options(concurrency=(one, other))) is None


@given(st.data())
def test_any_manifest_is_judged(data: st.DataObject) -> None:
    option_problem(data.draw(anything(FunctionManifest)))

"""The limits of a function that can be set, and what another one would mean."""

from __future__ import annotations

from msgspec.structs import replace
from onward_engine.model import Flow
from onward_engine.rules.flow import limits
from onward_engine.rules.flow.names import has_value
from onward_engine.rules.triggers import Catalog
from onward_protocol.messages import (
    AppManifest,
    ConcurrencyLimit,
    FunctionManifest,
    RateRule,
    SingletonRule,
    ThrottleRule,
)

EVERYTHING = FunctionManifest(
    "shop/f",
    concurrency=(ConcurrencyLimit(1), ConcurrencyLimit(2, scope="app")),
    throttle=ThrottleRule(3, 1_000),
    rate_limit=RateRule(4, 1_000),
    singleton=SingletonRule(),
)
DECLARED = {"concurrency:0": 1, "concurrency:1": 2, "throttle": 3, "rate_limit": 4}


def test_numbers_of_limits_can_be_set_and_nothing_else() -> None:
    assert limits.adjustable(EVERYTHING) == DECLARED
    assert limits.adjustable(FunctionManifest("shop/g")) == {}


def test_a_function_with_another_limit_has_only_that_changed() -> None:
    for option in DECLARED:
        assert limits.adjustable(limits.with_limit(EVERYTHING, option, 9)) == {**DECLARED, option: 9}


def test_what_was_set_counts_before_what_the_code_says_as_long_as_the_option_is_there() -> None:
    app = AppManifest("shop", functions=(EVERYTHING,))
    flow = Flow("concurrency shop/f", "concurrency:0", 7)
    assert limits.limit_now(Catalog((app,)), "shop/f", flow) == 1
    assert limits.limit_now(Catalog((app,), limits={("shop/f", "concurrency:0"): 5}), "shop/f", flow) == 5
    gone = AppManifest("shop", functions=(replace(EVERYTHING, concurrency=()),))
    assert limits.limit_now(Catalog((gone,), limits={("shop/f", "concurrency:0"): 5}), "shop/f", flow) is None
    assert limits.limit_now(Catalog(), "shop/f", flow) == 7, "what it was when the run was made"


def test_code_has_other_limits_if_anything_about_one_is_new() -> None:
    assert not limits.has_other_limits(EVERYTHING, replace(EVERYTHING, priority="1"))
    assert limits.has_other_limits(EVERYTHING, replace(EVERYTHING, concurrency=EVERYTHING.concurrency[:1]))
    assert EVERYTHING.throttle is not None
    quicker = replace(EVERYTHING.throttle, period_ms=1)
    assert limits.has_other_limits(EVERYTHING, replace(EVERYTHING, throttle=quicker))
    assert limits.has_other_limits(EVERYTHING, replace(EVERYTHING, singleton=None))


def test_a_value_is_found_in_a_key_as_text_and_as_what_it_is() -> None:
    assert has_value('concurrency shop/f event.data.c="ann"', "ann")
    assert has_value("concurrency shop/f event.data.c=5", "5")
    assert not has_value('concurrency shop/f event.data.c="joann"', "ann")
    assert not has_value("concurrency shop/f", "")

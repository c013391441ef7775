"""Flow keys: who shares a limit with whom."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from onward_engine.model import Flow
from onward_engine.rules.expressions import ExpressionError
from onward_engine.rules.flow import keys
from onward_engine.rules.flow.limits import limit_now
from onward_engine.rules.triggers import Catalog
from onward_protocol.messages import (
    AppManifest,
    ConcurrencyLimit,
    Event,
    FunctionManifest,
    SingletonRule,
    ThrottleRule,
)

PER_CUSTOMER = ConcurrencyLimit(1, "event.data.customer")


def function(*limits: ConcurrencyLimit, name: str = "shop/work") -> FunctionManifest:
    return FunctionManifest(name, concurrency=limits)


def flows(manifest: FunctionManifest, data: object = None) -> tuple[Flow, ...]:
    event = Event("evt_1", "x", msgspec.json.encode(data), 1, 1)
    return keys.flows_of(manifest, keys.document_of(event, b""))


def test_without_a_limit_there_is_no_key() -> None:
    assert flows(function()) == ()


def test_without_an_expression_all_runs_of_a_function_share_its_places() -> None:
    assert flows(function(ConcurrencyLimit(3))) == (Flow("concurrency shop/work", "concurrency:0", 3),)


def test_an_expression_gives_each_value_places_of_its_own() -> None:
    found = [
        flows(function(PER_CUSTOMER), data)[0].key
        for data in ({"customer": 1}, {"customer": 1.0}, {"customer": "1"}, {})
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_an_input_has_the_same_key_as_an_event_with_the_same_data() -> None:
    packed = msgspec.msgpack.encode({"customer": "c"})
    document = keys.document_of(None, packed)
    assert keys.flows_of(function(PER_CUSTOMER), document) == flows(function(PER_CUSTOMER), {"customer": "c"})


@pytest.mark.parametrize(
    ("scope", "other", "is_same"),
    [
        ("function", "shop/other", False),
        ("app", "shop/other", True),
        ("app", "bank/work", False),
        ("environment", "bank/work", True),
    ],
)
def test_the_scope_says_whose_runs_share_a_limit(
    scope: Literal["function", "app", "environment"], other: str, *, is_same: bool
) -> None:
    limit = ConcurrencyLimit(1, scope=scope)
    one, two = flows(function(limit))[0], flows(function(limit, name=other))[0]
    assert (one.key == two.key) is is_same
    assert one.is_shared is (scope != "function")


def test_who_waits_for_a_narrow_limit_stands_in_no_line_of_a_broad_one() -> None:
    manifest = FunctionManifest(
        "shop/work",
        concurrency=(ConcurrencyLimit(9, scope="environment"), PER_CUSTOMER),
        throttle=ThrottleRule(1, 1000),
        singleton=SingletonRule(),
    )
    found = [flow.option for flow in flows(manifest, {"customer": 1})]
    assert found == ["concurrency:1", "singleton", "concurrency:0", "throttle"]


def test_what_is_no_key_of_an_event_is_an_error_and_a_run_that_has_to_start_gets_one_all_the_same() -> None:
    odd = function(ConcurrencyLimit(1, "event.data.a + 1"))
    with pytest.raises(ExpressionError):
        flows(odd, {"a": "text"})
    assert len(keys.flows_of(odd, None)) == 1


@pytest.mark.parametrize(
    ("now", "set_by_hand", "limit"),
    [
        ([], {}, 2),
        ([function()], {}, None),
        ([function(ConcurrencyLimit(5))], {}, 5),
        ([function(ConcurrencyLimit(5))], {("shop/work", "concurrency:0"): 7}, 7),
        ([function()], {("shop/work", "concurrency:0"): 7}, None),
    ],
    ids=["gone", "unlimited", "changed", "set", "set, but not declared any more"],
)
def test_what_is_set_counts_and_then_what_the_function_says_now(
    now: list[FunctionManifest], set_by_hand: dict[tuple[str, str], int], limit: int | None
) -> None:
    catalog = Catalog([AppManifest("shop", "1", tuple(now))], (), set_by_hand)
    assert limit_now(catalog, "shop/work", Flow("k", "concurrency:0", 2)) == limit

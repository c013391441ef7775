"""Concurrency keys: who shares a place with whom."""

from __future__ import annotations

import msgspec
import pytest
from onward_engine.model import Run
from onward_engine.rules import flow
from onward_protocol.messages import ConcurrencyLimit, Event, FunctionManifest


def function(*limits: ConcurrencyLimit) -> FunctionManifest:
    return FunctionManifest("shop/work", concurrency=limits)


def event(data: object) -> Event:
    return Event("evt_1", "x", msgspec.json.encode(data), 1, 1)


def test_without_a_limit_there_is_no_key() -> None:
    assert flow.flow_of(function(), event({}), b"") == ("", 0)


def test_without_a_path_all_runs_of_a_function_share_its_places() -> None:
    assert flow.flow_of(function(ConcurrencyLimit(3)), event({}), b"") == ("shop/work", 3)


def test_a_path_gives_each_value_places_of_its_own() -> None:
    limited = function(ConcurrencyLimit(1, "event.data.customer"))
    keys = [
        flow.flow_of(limited, event(data), b"")[0]
        for data in ({"customer": 1}, {"customer": 1.0}, {"customer": "1"}, {})
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_an_input_has_the_same_key_as_an_event_with_the_same_data() -> None:
    limited = function(ConcurrencyLimit(1, "event.data.customer"))
    packed = msgspec.msgpack.encode({"customer": "c"})
    assert flow.flow_of(limited, None, packed) == flow.flow_of(limited, event({"customer": "c"}), b"")


@pytest.mark.parametrize(
    ("manifest", "limit"),
    [(None, 2), (function(), None), (function(ConcurrencyLimit(5)), 5)],
    ids=["gone", "unlimited", "changed"],
)
def test_what_the_function_says_now_is_in_force(manifest: FunctionManifest | None, limit: int | None) -> None:
    run = Run(id="run_1", function="shop/work", ord=1, flow_key="k", flow_limit=2)
    assert flow.limit_now(run, manifest) == limit


def test_what_cannot_be_honoured_is_said() -> None:
    assert "2 concurrency limits" in str(flow.problem(function(ConcurrencyLimit(1), ConcurrencyLimit(2))))
    assert "could never run" in str(flow.problem(function(ConcurrencyLimit(0))))
    assert flow.problem(function(ConcurrencyLimit(1))) is None

"""The ids that a client gives: each one new, and those of one time side by side, as are the runs that come of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from onward import EventType, calls, ids
from onward.calls import Request
from onward_protocol.ids import derived_id, is_id

Ordered = EventType("shop/ordered", dict[str, int])
AT_MS = 1_700_000_000_000
TIME = slice(4, 16)
"""Where the milliseconds of an id are, in hex."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    times_ns = (ms * 1_000_000 for ms in count(AT_MS))
    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: next(times_ns)))


def body_of(request: Request) -> Any:
    return msgspec.json.decode(request.body)


def times_ms(found: Iterable[str]) -> list[int]:
    return [int(id[TIME], 16) for id in found]


def test_events_are_named_in_the_order_of_time_and_so_are_their_runs() -> None:
    events = [event["id"] for event in body_of(calls.sending([Ordered({}) for _ in range(3)]))]
    runs = [derived_id("run", event, "shop/order") for event in events]
    assert all(is_id(event, "evt") for event in events)
    assert times_ms(events) == times_ms(runs) == [AT_MS, AT_MS + 1, AT_MS + 2]


def test_so_is_a_run_that_is_started_without_an_event() -> None:
    started = [body_of(calls.starting("shop/order", b"\xc0", key=""))["id"] for _ in range(2)]
    assert all(is_id(run, "run") for run in started)
    assert times_ms(started) == [AT_MS, AT_MS + 1]


def test_what_has_a_name_keeps_it() -> None:
    assert body_of(calls.sending([Ordered({}, id="order-1")]))[0]["id"] == "order-1"
    assert body_of(calls.starting("shop/order", b"\xc0", key="order-1"))["id"] == "order-1"


def test_two_ids_of_one_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: AT_MS * 1_000_000))
    assert len({ids.new_id("evt") for _ in range(1_000)}) == 1_000

"""What an event means to a function's gates: which keys it has, and what an unreadable one says."""

from __future__ import annotations

import pytest
from onward_engine.rules.conditions import Document
from onward_engine.rules.expressions import ExpressionError
from onward_engine.rules.flow.entry import Entry, entry_of, has_entry, kind_of
from onward_protocol.messages import (
    BatchRule,
    DebounceRule,
    FunctionManifest,
    IdempotencyRule,
    RateRule,
    SingletonRule,
    Trigger,
)

PLAIN = FunctionManifest("shop/f", (Trigger("asked"),))
DOCUMENT: Document = {"name": "asked", "data": {"who": "ann", "n": 3}}


def test_a_function_without_such_options_has_no_entry() -> None:
    assert not has_entry(PLAIN)
    assert entry_of(PLAIN, DOCUMENT) == Entry()


def test_every_option_has_a_key_of_its_own_for_each_function() -> None:
    function = FunctionManifest(
        "shop/f",
        idempotency=IdempotencyRule("event.data.who", 1),
        rate_limit=RateRule(1, 1, "event.data.who"),
        debounce=DebounceRule(1),
    )
    entry = entry_of(function, DOCUMENT)
    assert list(entry.owners()) == [
        'idempotency shop/f event.data.who="ann"',
        'rate shop/f event.data.who="ann"',
        "debounce shop/f",
    ]
    assert [kind_of(owner) for owner in entry.owners()] == ["idempotency", "rate", "debounce"]


def test_what_the_data_does_not_have_is_null_and_a_key_like_any_other() -> None:
    function = FunctionManifest("shop/f", singleton=SingletonRule("event.data.missing"))
    assert entry_of(function, DOCUMENT).singleton == "singleton shop/f event.data.missing=null"


def test_an_event_that_a_batch_does_not_want_is_not_gathered() -> None:
    function = FunctionManifest("shop/f", batch=BatchRule(5, 1, when="event.data.n < 3"))
    assert entry_of(function, DOCUMENT) == Entry()


def test_a_condition_that_cannot_be_read_says_why() -> None:
    function = FunctionManifest("shop/f", batch=BatchRule(5, 1, when="event.data.n < event.data.who"))
    entry = entry_of(function, DOCUMENT)
    assert (entry.gathering, entry.unclear.partition(": ")[0]) == ("", "option 'batch', when")


def test_a_key_that_cannot_be_read_names_its_option() -> None:
    function = FunctionManifest("shop/f", rate_limit=RateRule(1, 1, "event.data.who + 1"))
    with pytest.raises(ExpressionError, match="option 'rate_limit', key: "):
        entry_of(function, DOCUMENT)

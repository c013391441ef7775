"""Conditions over stored events: by what they are found, and what a wait keeps of the run's own event."""

from __future__ import annotations

import msgspec
import pytest
from onward_engine.rules import conditions, waits
from onward_engine.rules.conditions import OWN_BYTES_MAX, Document, Subject
from onward_engine.rules.expressions import ExpressionError
from onward_engine.rules.triggers import Catalog
from onward_protocol.messages import AppManifest, Event, EventWait, FunctionManifest, Match, Trigger

OWN: Document = {
    "name": "order",
    "data": {
        "id": "o1",
        "n": 5,
        "big": 2**64,
        "user": {"name": "Ann", "age": 7},
        "items": [{"a": 1}, {"a": 2}],
        "none": None,
    },
}


def event(data: object) -> Event:
    return Event("evt_1", "paid", msgspec.json.encode(data), 5, 1)


def bound(where: str, **options: object) -> EventWait:
    return conditions.bound(msgspec.structs.replace(EventWait("paid", where=where), **options), OWN)


@pytest.mark.parametrize(
    ("where", "path", "value"),
    [
        ("async.data.id == event.data.id", "id", b'"o1"'),
        ("event.data.n == async.data.a['b']", "a.b", b"5"),
        ("async.data.kind == 'x' && async.data.n > 1", "kind", b'"x"'),
        ("async.data.items[0].id == 1.0", "items.0.id", b"1"),
        ("async.data.id == event.data.nothing", "id", b"null"),
        ("async.data.ok == true", "ok", b"true"),
    ],
)
def test_a_wait_is_found_by_an_equality_of_its_expression(where: str, path: str, value: bytes) -> None:
    assert waits.address(bound(where)) == (path, value)


@pytest.mark.parametrize(
    "where",
    [
        "async.data.id == event.data.id || async.data.n == 1",
        "async.data['a.b'] == 1",
        "async.data[''] == 1",
        "async.data.items[0] == null",  # a map may have the key "0"
        "async.data.id == event.data.user",
        "async.data.id == event.data.big",
        "async.data.n == 1e300",
        "async.data == 'x'",
        "event.data.id == 'o1' && async.name == 'paid'",
        "event.data.id == event.data.id",
        "async.data.id != 'a'",
    ],
)
def test_what_an_index_cannot_say_is_looked_at_for_each_event(where: str) -> None:
    assert waits.address(bound(where)) == ("", b"")


def test_an_equality_that_the_wait_has_already_goes_first() -> None:
    wait = bound("async.data.id == event.data.id", match=(Match("n", b"1"),))
    assert waits.address(wait) == ("n", b"1")
    assert waits.accepts(wait, event({"n": 1, "id": "o1"}))
    assert not waits.accepts(wait, event({"n": 1, "id": "o2"}))


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("async.data.n > 1", {}),
        ("async.data.n > event.data.n", {"data": {"n": 5}}),
        ("event.data.items.exists(x, x.a == async.data.n)", {"data": {"items": [{"a": 1}, {"a": 2}]}}),
        ("event.data.items[1].a == async.data.n", {"data": {"items": [{"a": 1}, {"a": 2}]}}),
        ("has(event.data.none) && !has(event.data.user.zip)", {"data": {"none": None, "user": {}}}),
        ("event.data.user.name == 'Ann' && size(event.data.user) > 0", {"data": {"user": {"name": "Ann", "age": 7}}}),
        ("[1].exists(event, event == 1)", {}),
        ("event.data[async.data.key] == 1", OWN["data"]),
    ],
)
def test_a_wait_keeps_of_the_runs_own_event_what_its_expression_reads(where: str, kept: object) -> None:
    found = msgspec.json.decode(bound(where).own)
    assert found == ({"data": kept} if kept is OWN["data"] else kept)


def test_a_wait_cannot_keep_too_much_of_the_runs_own_event() -> None:
    own: Document = {"data": {"text": "x" * OWN_BYTES_MAX}}
    with pytest.raises(ExpressionError, match="bytes of the run's own event, more than 65536"):
        conditions.bound(EventWait("paid", where="event.data.text == async.data.text"), own)


def test_numbers_are_found_in_any_spelling_up_to_64_bits() -> None:
    for literal, texts in (
        (1, (b"1", b"1.0", b"1e0")),
        (10**18, (b"1000000000000000000", b"1e18")),
        (-(2**63), (b"-9223372036854775808.0",)),
    ):
        wait = bound(f"async.data.n == {literal}")
        for text in texts:
            assert waits.accepts(wait, Event("e", "paid", b'{"n":' + text + b"}", 1, 1))


def test_the_data_of_a_run_without_an_event_is_its_input() -> None:
    document = conditions.document_of_input(msgspec.msgpack.encode({"id": 7, "raw": b"x"}))
    assert document == {"data": {"id": 7, "raw": "eA=="}}
    assert conditions.document_of_input(b"") == conditions.document_of_input(b"\xc1") == {}


def test_data_that_is_no_json_is_null() -> None:
    assert Subject(Event("e", "x", b"{", 1, 1)).document["data"] is None


def catalog(*functions: tuple[str, str]) -> Catalog:
    manifests = tuple(FunctionManifest(id, (Trigger("paid", where),)) for id, where in functions)
    return Catalog([AppManifest("shop", "", manifests)])


def test_an_event_meets_only_the_conditions_whose_equality_it_has() -> None:
    wrong = [(f"f{n}", f"event.data.kind == 'k{n}' && event.data.n > 'text'") for n in range(100)]
    found = catalog(*wrong, ("good", "event.data.kind == 'k5'")).triggered(event({"kind": "k5", "n": 1}))
    assert [function.id for function in found.functions] == ["good"]
    assert [function.id for function, _ in found.unclear] == ["f5"]


def test_a_function_that_another_trigger_starts_is_clear() -> None:
    triggers = (Trigger("paid", "event.data.n > 'a'"), Trigger("paid", "event.data.n == 1"))
    found = Catalog([AppManifest("shop", "", (FunctionManifest("f", triggers),))]).triggered(event({"n": 1}))
    assert ([function.id for function in found.functions], found.unclear) == (["f"], ())


def test_a_condition_that_an_older_engine_took_starts_nothing_and_says_why() -> None:
    [(function, reason)] = catalog(("f", "event.data.n >")).triggered(event({})).unclear
    assert (function.id, "it ends too early" in reason) == ("f", True)

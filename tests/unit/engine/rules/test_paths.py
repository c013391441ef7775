"""Values in documents: found by path, compared as JSON compares them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onward_engine.rules import paths
from onward_protocol.messages import Event

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        (b'{"a":{"b":"x"}}', "a.b", b'"x"'),
        (b'{"a":[10,{"b":2}]}', "a.1.b", b"2"),
        (b'{"1":"one"}', "1", b'"one"'),
        (b' {"a": 1.0}', "a", b"1"),
        (b'{"a":1}', "b", b"null"),
        (b'{"a":1}', "a.b", b"null"),
        (b"[1]", "7", b"null"),
        (b"7", "", b"7"),
        (b"{broken", "a", b"null"),
        (b"", "", b"null"),
        (b'{"a":{"y":2,"x":[1.0]}}', "a", b'{"x":[1],"y":2}'),
    ],
)
def test_a_path_finds_the_canonical_text(document: bytes, path: str, value: bytes) -> None:
    assert paths.find(document, path) == value


@given(JSON)
def test_canonical_texts_are_equal_for_equal_values_in_any_spelling(value: object) -> None:
    text = msgspec.json.encode(value)
    assert paths.canonical(msgspec.json.format(text, indent=3)) == paths.canonical(text)
    assert paths.canonical(paths.canonical(text)) == paths.canonical(text)


@given(st.binary())
def test_nothing_that_is_no_json_raises(text: bytes) -> None:
    paths.find(text, "a.0.b")
    paths.find_packed(text, "a.0.b")
    paths.canonical(text)


def test_deep_nesting_is_no_value_and_no_crash() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert paths.canonical(deep) == paths.NULL


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event.data.id", b"7"),
        ("id", b"7"),
        ("event.name", b'"paid"'),
        ("event.key", b'"k"'),
        ("event.ts", b"5"),
        ("event.nothing", b"null"),
    ],
)
def test_an_events_own_fields_have_paths_too(path: str, value: bytes) -> None:
    assert paths.find_in_event(Event("evt_1", "paid", b'{"id":7}', 5, 1, "k"), path) == value


def test_a_packed_document_has_the_same_values() -> None:
    document = msgspec.msgpack.encode({"a": {"b": 2.0}, "bytes": b"\x01"})
    assert paths.find_packed(document, "a.b") == b"2"
    assert paths.find_packed(document, "c") == b"null"


def test_a_long_value_is_short_in_an_index_and_still_its_own() -> None:
    one, other = b'"' + b"x" * 1_000 + b'"', b'"' + b"x" * 999 + b'y"'
    assert len(paths.index_key(one)) < 64
    assert paths.index_key(one) != paths.index_key(other)
    assert paths.index_key(b"7") == b"7"

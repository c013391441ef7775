from __future__ import annotations

import uuid

import pytest
from onward_protocol.ids import derived_id, is_id, name_problem, uuid7_id

AT_MS = 1_755_000_000_000


def test_an_id_is_a_prefix_and_a_version_7_uuid_with_its_time_first() -> None:
    text = uuid7_id("run", AT_MS, b"\xff" * 10)
    value = uuid.UUID(text.removeprefix("run_"))
    assert (value.version, value.variant, value.int >> 80) == (7, uuid.RFC_4122, AT_MS)


def test_ids_sort_by_time() -> None:
    assert uuid7_id("evt", AT_MS, b"\xff" * 10) < uuid7_id("evt", AT_MS + 1, b"\0" * 10)


def test_an_id_needs_all_of_its_random_bytes() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        uuid7_id("run", AT_MS, b"\0" * 9)


def test_what_a_step_makes_has_the_same_id_each_time_and_another_for_each_place() -> None:
    places = [("run_a", "send", 0), ("run_a", "send", 1), ("run_a", "sen", 0), ("run_b", "send", 0)]
    ids = [derived_id("evt", *place) for place in places]
    assert ids == [derived_id("evt", *place) for place in places]
    assert len({*ids, derived_id("run", *places[0])}) == 5


def test_a_derived_id_never_changes_between_versions() -> None:
    assert derived_id("evt", "run_a", "send", 0) == "evt_3ec23f294db18ec28958f5ec9b863e1f"


def test_a_derived_id_begins_with_the_time_of_what_it_comes_from() -> None:
    event = uuid7_id("evt", AT_MS, b"\0" * 10)
    run = derived_id("run", event, "shop/work")
    child = uuid.UUID(derived_id("run", run, "call").removeprefix("run_"))
    assert (child.version, child.variant, child.int >> 80) == (8, uuid.RFC_4122, AT_MS)
    assert derived_id("run", event, "shop/other")[:16] == run[:16]
    assert derived_id("run", event, "shop/other") != run


def test_ids_are_recognised() -> None:
    assert is_id(uuid7_id("run", AT_MS, b"\0" * 10), "run")
    assert is_id(derived_id("run", "run_a", "k"), "run")
    for wrong in ("", "run_", "run_" + "0" * 32, uuid7_id("evt", AT_MS, b"\0" * 10), "runs" + "_" * 33):
        assert not is_id(wrong, "run")


@pytest.mark.parametrize("name", ["a", "shop/order", "Ä" * 128, "a b", "x" * 256])
def test_printable_names_of_up_to_256_bytes_are_fine(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is empty"),
        ("x" * 257, "is 257 bytes long; 256 are allowed"),
        ("Ä" * 129, "is 258 bytes long"),
        ("a\0b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("a\ud800", "not valid Unicode"),
    ],
)
def test_a_bad_name_is_explained(name: str, words: str) -> None:
    assert words in (name_problem(name) or "")

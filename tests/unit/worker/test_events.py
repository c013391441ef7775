from datetime import UTC, datetime

import msgspec
import pytest
from onward import CodecError, ConfigError, EventType, OnwardError
from onward.events import draft_of

from .immediate_host import event

Numbered = EventType("a/b", dict[str, int])


def test_an_event_type_builds_an_event() -> None:
    when = datetime(2024, 1, 1, tzinfo=UTC)
    numbered = Numbered({"n": 1}, id="e1", ts=when, key="k", meta={"trace": "t"})
    assert (numbered.name, numbered.data, numbered.ts) == ("a/b", {"n": 1}, when)
    draft = draft_of(numbered)
    assert (draft.id, draft.key, draft.meta, msgspec.json.decode(draft.data)) == ("e1", "k", {"trace": "t"}, {"n": 1})


def test_an_accepted_event_has_its_type() -> None:
    assert Numbered.received(event("a/b", {"n": 1})).data == {"n": 1}
    with pytest.raises(CodecError, match="data of event 'a/b'"):
        Numbered.received(event("a/b", {"n": "x"}))


def test_a_new_event_has_no_time_yet() -> None:
    with pytest.raises(OnwardError, match="has no time yet"):
        _ = Numbered({}).ts


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no offset"):
        Numbered({}, ts=datetime(2024, 1, 1))  # noqa: DTZ001 - on purpose


def test_an_event_that_cannot_be_json_is_named() -> None:
    with pytest.raises(CodecError, match="data of event 'a/b'"):
        draft_of(EventType("a/b", object)(object()))


@pytest.mark.parametrize("name", ["", "x" * 161, "a\nb"])
def test_an_event_needs_a_name_that_can_be_printed(name: str) -> None:
    with pytest.raises(ConfigError, match="EventType"):
        EventType(name, int)

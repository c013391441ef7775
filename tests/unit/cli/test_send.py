"""What `worker send` takes for data."""

from __future__ import annotations

from pathlib import Path

import pytest
from onward_cli.errors import CommandError
from onward_cli.send import read_json


def test_data_is_json_of_any_kind() -> None:
    assert [read_json(text) for text in ('{"a": 1}', "3", '"é"', "null")] == [{"a": 1}, 3, "é", None]


@pytest.mark.parametrize("text", ["", "{a: 1}", "NaN", "[1, -Infinity]", "[" * 100_000])
def test_what_would_not_arrive_as_it_was_written_is_refused(text: str) -> None:
    with pytest.raises(CommandError) as refusal:
        read_json(text)
    assert refusal.value.code == "E0506"


def test_a_file_that_is_not_utf_8_is_named_with_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(b'"\xe9"')
    with pytest.raises(CommandError, match=r"event.json' is not UTF-8: byte 1 is 0xe9"):
        read_json(f"@{file}")

"""Data on stdout."""

from __future__ import annotations

import json

import pytest
from onward_cli.output import Format, write_one, write_rows

ROWS: list[dict[str, object]] = [
    {"id": "run_1", "status": "completed", "output": {"n": 1}},
    {"id": "run_22", "status": "failed", "output": None},
]


def test_a_table_has_a_line_for_each_row_and_no_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, Format.TABLE, ("id", "status"))
    assert capsys.readouterr().out == "ID      STATUS\nrun_1   completed\nrun_22  failed\n"


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, Format.JSON, ("id",))
    assert json.loads(capsys.readouterr().out) == ROWS


def test_jsonl_has_one_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, Format.JSONL, ("id",))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_ids_alone_are_for_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, Format.ID, ("id", "status"))
    assert capsys.readouterr().out == "run_1\nrun_22\n"


def test_an_empty_table_still_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows([], Format.TABLE, ("id", "status"))
    assert capsys.readouterr().out == "ID  STATUS\n"


def test_a_payload_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    write_one({"error": "\x1b[2Jgone\n"}, Format.TABLE)
    assert capsys.readouterr().out == "error   [2Jgone\n"

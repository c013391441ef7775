"""Data on stdout, in the form that was asked for. Logs and errors go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, cast

from msgspec import Struct, to_builtins

Row = Mapping[str, Any]


class Format(StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    ID = "id"


def write_rows(rows: Sequence[Row], form: Format, columns: Sequence[str]) -> None:
    """Write many things. A table has `columns` only; JSON has everything; `id` has one id a line."""
    match form:
        case Format.TABLE:
            _print_lines(_table(rows, columns))
        case Format.JSON:
            print(json.dumps(list(rows), indent=2, ensure_ascii=False))
        case Format.JSONL:
            _print_lines(json.dumps(row, ensure_ascii=False) for row in rows)
        case Format.ID:
            _print_lines(str(row["id"]) for row in rows)


def write_one(thing: Row, form: Format) -> None:
    """Write one thing: its fields below each other, or as JSON, or its id."""
    match form:
        case Format.TABLE:
            width = max(map(len, thing), default=0)
            _print_lines(f"{name:<{width}}  {_cell(value)}".rstrip() for name, value in thing.items())
        case Format.JSON:
            print(json.dumps(thing, indent=2, ensure_ascii=False))
        case Format.JSONL | Format.ID:
            write_rows([thing], form, ())


def write_value(value: Any, form: Format) -> None:
    """Write a bare JSON value: indented, or on one line as JSONL."""
    print(json.dumps(value, indent=None if form is Format.JSONL else 2, ensure_ascii=False))


def _table(rows: Sequence[Row], columns: Sequence[str]) -> Iterable[str]:
    cells = [[column.upper() for column in columns], *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def plain(record: Struct) -> Row:
    """Return a record as its fields, as JSON says them."""
    return cast("Row", to_builtins(record))


def countable(form: Format) -> Format:
    """Return the form for what is counted: a number has no id."""
    return Format.TABLE if form is Format.ID else form


def note(sentence: str, *, quiet: bool) -> None:
    """Tell a person what has happened."""
    if not quiet:
        print(sentence, file=sys.stderr)


def printable(text: str) -> str:
    """Return a text that a terminal does not obey, whatever a payload says."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)

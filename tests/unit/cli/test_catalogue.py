"""Every error that can be shown is explained, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from onward.help import HELP
from onward_cli.catalogue import GROUPS, explanations
from onward_cli.commands import app
from onward_cli.refusals import KNOWN
from typer.testing import CliRunner

ROOT = Path(__file__).parents[3]
SOURCES = [
    path
    for house in ("worker/onward", "engine/onward_engine", "protocol/onward_protocol", "cli/onward_cli")
    for path in ROOT.joinpath(house).rglob("*.py")
    if path.parent.name != "catalogue" and path != ROOT / "worker/onward/help.py"
]
SDK = [path for path in SOURCES if path.is_relative_to(ROOT / "worker")]
CODE = re.compile(r"E\d{4}")


def codes_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value


def calls_of(name: str, path: Path) -> Iterator[ast.Call]:
    """Yield the calls that say no code."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    for call in calls:
        is_meant = isinstance(call.func, ast.Name) and call.func.id == name
        if is_meant and {keyword.arg for keyword in call.keywords}.isdisjoint({"code", None}):
            yield call


def test_every_code_that_is_used_is_explained_and_every_explained_code_is_used() -> None:
    used = {code for path in SOURCES for code in codes_in(path)}
    assert used == set(explanations())


def test_an_explanation_says_what_it_means_what_causes_it_and_what_to_do() -> None:
    for one in explanations().values():
        assert [text for text in (one.meaning, one.cause, one.action) if len(text) < 8] == [], one.code


def test_what_to_do_is_said_in_one_place_only() -> None:
    entries = {code: entry for group in GROUPS.values() for code, entry in group.items()}
    elsewhere = {*HELP, *(known.code for known in KNOWN.values() if known.advice)}
    assert [code for code, entry in entries.items() if bool(entry.action) == (code in elsewhere)] == []


def test_codes_stand_in_their_order() -> None:
    codes = list(explanations())
    assert codes == sorted(codes)


def test_every_error_of_the_sdk_that_has_a_code_has_it_where_it_is_raised() -> None:
    """An error without a code would be shown as one that nobody can look up."""
    errors = ("ConfigError", "OnwardError", "Refused")
    nameless = [f"{path.name}:{call.lineno}" for path in SDK for name in errors for call in calls_of(name, path)]
    assert nameless == []


@pytest.mark.parametrize("text", ["E0412", "e412", "412", "unknown_function"])
def test_an_error_is_found_by_its_code_and_by_the_engine_s_name_for_it(text: str) -> None:
    shown = CliRunner().invoke(app, ["errors", text])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("E0412: No worker has registered such a function.")
    assert "worker functions list" in shown.stdout


def test_an_error_that_stands_in_the_record_of_a_run_is_found_by_its_class() -> None:
    shown = CliRunner().invoke(app, ["errors", "StepTimeout"])
    assert shown.stdout.startswith("E0309: An attempt took longer than the step's `timeout`.")
    assert shown.stdout.endswith("In Python, and in the record of a run: StepTimeout\n")


def test_a_code_that_does_not_exist_ends_with_3_and_a_guess() -> None:
    shown = CliRunner().invoke(app, ["errors", "unknown_functio"])
    assert shown.exit_code == 3
    assert "help: did you mean unknown_function?" in shown.stderr


def test_without_a_code_all_are_listed() -> None:
    shown = CliRunner().invoke(app, ["errors", "-o", "id"])
    assert shown.stdout.split() == list(explanations())

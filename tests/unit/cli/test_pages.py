"""docs/cli.md and docs/errors.md say what the command says."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from onward_cli import config
from onward_cli.commands import app
from onward_cli.examples import EXAMPLES
from onward_cli.tree import commands
from typer.testing import CliRunner

from tests.support.pages import Page
from tests.unit.cli.command_reference import COMMANDS, ERRORS, with_blocks

TREE = {path: command for path, command, _ in commands()}
LINES = [(path, line) for path, lines in EXAMPLES.items() for line in lines if line.startswith("worker ")]


@pytest.mark.parametrize("page", [COMMANDS, ERRORS], ids=["cli.md", "errors.md"])
def test_what_is_generated_is_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_blocks(text) == text, "run: python -m tests.unit.cli.command_reference"


@pytest.mark.parametrize(("path", "line"), LINES)
def test_an_example_is_understood_by_its_command(path: str, line: str) -> None:
    words = shlex.split(line.partition(" > ~")[0])[1:]
    assert " ".join(words[: len(path.split())]) == path
    command: Any = TREE[path]
    with command.make_context(path, words[len(path.split()) :]) as context:
        assert context.args == []


def test_every_command_that_takes_something_has_an_example() -> None:
    leaves = {path for path, command in TREE.items() if not getattr(command, "commands", None)}
    assert set(EXAMPLES) <= leaves
    needing = {path for path in leaves if any(param.required for param in TREE[path].params)}
    assert needing - set(EXAMPLES) == set()


def test_the_file_of_settings_on_the_page_is_one(tmp_path: Path) -> None:
    [text] = Page("docs/cli.md").blocks("toml")
    tmp_path.joinpath("onward.toml").write_text(text)
    found = config.read(str(tmp_path))
    assert found is not None
    assert found.values["ONWARD_LABEL"] == "region=eu tier=batch"


def test_the_explanation_on_the_page_is_what_the_command_says() -> None:
    [shown] = Page("docs/errors.md").blocks("")
    line, _, text = shown.partition("\n")
    assert CliRunner().invoke(app, line.split()[2:]).stdout == text

"""README.md: its test passes, and its commands exist. tests/acceptance tries the first program as a reader would."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from onward_cli.commands import app
from typer import Context
from typer.main import get_command

from tests.support.pages import Page

README = Page("README.md")


async def test_the_test_of_the_first_program_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in README.files().items():
        tmp_path.joinpath(name).write_text(source)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "app", raising=False)
    await import_module("test_app").test_an_order_is_charged_once()


def commands() -> list[str]:
    """Return what the README tells to type, from `worker` on and without comments."""
    lines = [line.partition("  #")[0].strip() for block in README.blocks("") for line in block.splitlines()]
    return [line[line.index("worker ") :] for line in lines if re.search(r"(^|\s)worker ", line)]


@pytest.mark.parametrize("line", commands())
def test_a_command_exists_with_its_options(line: str) -> None:
    command: Any = get_command(app)
    words = line.split()[1:]
    while hasattr(command, "get_command"):
        command = command.get_command(Context(command), words.pop(0))
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known

"""What a shell is offered. tests/system asks a real one."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from onward_cli.commands import COMMANDS, app
from onward_cli.completion import Shell, answer, offers
from typer.testing import CliRunner

ROOT: Any = typer.main.get_command(app)


def offered(line: str) -> list[str]:
    return [item.value for item in offers(ROOT, line.split(" "))]


def test_the_first_word_is_a_command() -> None:
    assert offered("") == list(COMMANDS)
    assert offered("ru") == ["run", "runs"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("runs re", ["resume", "rerun"]),
        ("run app:functions --conc", ["--concurrency"]),
        ("runs list --output ", ["table", "json", "jsonl", "id"]),
        ("runs list -o j", ["json", "jsonl"]),
        ("probe ", ["live", "ready"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("errors E00", []),
        ("errors E099", ["E0999"]),
        ("--ver", ["--version"]),
    ],
)
def test_words_are_offered_where_they_make_sense(line: str, expected: list[str]) -> None:
    assert sorted(offered(line)) == sorted(expected)


@pytest.mark.parametrize("line", ["engine backup ", "runs show ", "nothing ", "nothing else "])
def test_where_there_is_nothing_to_offer_the_shell_completes_files(line: str) -> None:
    assert offered(line) == []


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "version"),
        ("zsh", "version:Print the version, and of what it depends on."),
        ("fish", "version\tPrint the version, and of what it depends on."),
    ],
)
def test_each_shell_gets_what_it_can_show(
    shell: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_WORKER_COMPLETE", shell)
    assert answer(["worker", "vers"]) == 0
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize("shell", list(Shell))
def test_there_is_a_script_for_each_shell(shell: Shell) -> None:
    shown = CliRunner().invoke(app, ["completion", shell])
    assert f"_WORKER_COMPLETE={shell} worker" in shown.stdout

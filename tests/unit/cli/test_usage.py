"""A command that is typed wrongly is answered in the form of every other error, with one action."""

from __future__ import annotations

from pathlib import Path

import pytest
from onward_cli.commands import app
from typer.testing import CliRunner, Result


def typed(line: str, **environment: str) -> Result:
    return CliRunner().invoke(app, line.split(), env=environment)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rnu", "error[E0500]: worker has no command 'rnu'\nhelp: did you mean 'run'?"),
        ("runs lst", "error[E0500]: worker runs has no command 'lst'\nhelp: did you mean 'list'?"),
        ("zzz", "error[E0500]: worker has no command 'zzz'\nhelp: see worker --help"),
        ("run a:b --conc 5", "error[E0500]: worker run has no option --conc\nhelp: did you mean --concurrency?"),
        ("run a:b --concurency 5", "has no option --concurency\nhelp: did you mean --concurrency?"),
        ("--verison", "error[E0500]: worker has no option --verison\nhelp: did you mean --version?"),
        (
            "--url http://a runs list",
            "has no option --url\nhelp: options stand behind the command: worker COMMAND --url",
        ),
        ("runs --status failed", "error[E0500]: worker runs has no option --status\nhelp: worker runs list has it"),
        ("run a:b --zzz", "error[E0500]: worker run has no option --zzz\nhelp: see worker run --help"),
        ("runs show", "error[E0500]: worker runs show needs RUN\nhelp: write it like worker runs show run_01a2"),
        ("run", "error[E0500]: worker run needs APP...\nhelp: write it like worker run app:functions"),
        ("runs fork r1", "error[E0500]: worker runs fork needs --from\n"),
        ("runs list --limit 0", "error[E0500]: --limit: 0 is not in the range 1<=x<=1000000\nhelp: see"),
        ("runs list --limit x", "error[E0500]: --limit: 'x' is not a whole number\n"),
        ("runs list -o xml", "error[E0500]: --output: 'xml' is not one of 'table', 'json', 'jsonl', 'id'\n"),
        ("runs show r1 r2", "unexpected extra argument"),
        ("runs list --since 99999999999d", "error[E0500]: --since: '99999999999d' is no time"),
        ("runs list --until 0001-01-01", "error[E0500]: --until: '0001-01-01' is no time"),
        ("send x --delay 367d", "error[E0500]: --delay: '367d' is more than 366 days"),
        ("runs list --limit 99999999999999999999", "error[E0500]: --limit: 99999999999999999999 is not in the range"),
    ],
)
def test_a_mistake_is_named_with_what_was_probably_meant(line: str, said: str) -> None:
    shown = typed(line)
    assert shown.exit_code == 2
    assert said in shown.stderr


def test_a_wrong_value_of_the_environment_is_named_by_its_variable() -> None:
    shown = typed("runs list", ONWARD_OUTPUT="xml")
    assert "\n --> ONWARD_OUTPUT of the environment\n" in shown.stderr


def test_a_wrong_value_of_a_file_is_named_by_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("onward.toml").write_text("output = 'xml'")
    shown = typed("runs list", ONWARD_OUTPUT="xml")  # as it is once the file was read
    assert "\n --> onward.toml\n" in shown.stderr


@pytest.mark.parametrize("line", ["", "runs"])
def test_a_command_that_needs_another_word_shows_which_there_are(line: str) -> None:
    shown = typed(line)
    assert shown.exit_code == 2
    assert "Commands:" in shown.output


@pytest.mark.parametrize("line", ["help", "help run", "help runs list"])
def test_help_is_a_word_too(line: str) -> None:
    assert typed(line).stdout == typed(f"{line.removeprefix('help')} --help").stdout


@pytest.mark.parametrize("line", ["-h", "run -h", "runs list -h"])
def test_help_has_a_short_name(line: str) -> None:
    assert typed(line).stdout == typed(line.replace("-h", "--help")).stdout

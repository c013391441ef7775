"""The command line as a whole: quick to start, and complete."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import typer
from onward_cli import heartbeat, main
from onward_cli.commands import COMMANDS, app
from onward_cli.refusals import KNOWN
from onward_engine.routes import ROUTES
from typer.testing import CliRunner

HEAVY = ("onward", "onward_engine", "onward_protocol", "msgspec", "rich", "asyncio", "ssl", "http.client", "structlog")


def imported_by(*arguments: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    program = (
        "import sys; from onward_cli.main import run; sys.argv = ['worker', *sys.argv[1:]]\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(ended.stderr.split())


def test_help_imports_no_command_and_nothing_heavy() -> None:
    imported = imported_by("--help")
    assert imported.isdisjoint(module for module, _ in COMMANDS.values())
    assert imported.isdisjoint(HEAVY)


def test_a_worker_does_not_load_what_draws_tracebacks() -> None:
    """structlog does where it is installed: 15 MiB and 130 ms, in each process."""
    imported = imported_by("run", "tests.system.apps.office:functions", "--no-supervise", "--token-file", "nowhere")
    assert "structlog" in imported
    assert "rich.traceback" not in imported


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    module, line = COMMANDS[name]
    assert isinstance(import_module(module).app, typer.Typer)
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert line in " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())


def test_ctrl_c_before_a_command_has_begun_is_answered_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: list[str]) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(heartbeat, "is_wanted", interrupted)
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 130


def test_the_version_is_shown_by_the_option_that_everybody_tries_first() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, CliRunner().invoke(app, ["version"]).stdout)


def test_every_reason_of_the_engine_has_a_number_and_an_action() -> None:
    codes = {refusal.code for route in ROUTES for refusal in route.refusals}
    assert codes <= set(KNOWN)
    assert [code for code, known in KNOWN.items() if not known.advice] == []

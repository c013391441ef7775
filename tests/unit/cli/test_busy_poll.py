"""Which processes stay awake for an answer: said by an option, a variable, or the processors that there are."""

from __future__ import annotations

from typing import Any

import onward_engine
import pytest
from onward import cgroup
from onward_cli import logs, process_options, workshop
from onward_cli import run as run_command
from onward_cli.commands import app
from typer.testing import CliRunner

TARGET = "tests.system.apps.office:functions"
START = ["engine", "start"]
RUN = ["run", TARGET, "--no-supervise"]
DEV = ["dev", TARGET, "--no-reload"]
SAID: list[tuple[list[str], dict[str, str], float, bool]] = [
    ([], {}, 2.0, True),
    ([], {}, 1.0, False),
    (["--busy-poll"], {}, 1.0, True),
    (["--no-busy-poll"], {}, 8.0, False),
    ([], {"ONWARD_BUSY_POLL": "0"}, 8.0, False),
    ([], {"ONWARD_BUSY_POLL": "true"}, 1.0, True),
]


class Seen(BaseException):
    """What a command was about to start is known. No error, which it would report."""


def told(monkeypatch: pytest.MonkeyPatch, command: list[str], cpus: float, environ: dict[str, str]) -> list[bool]:
    """Run a command as far as it takes to see who stays awake."""
    found: list[bool] = []

    def see(*_: Any, **options: Any) -> Any:
        found.append(options["busy_poll"])
        raise Seen

    def serve(settings: onward_engine.Settings, **_: Any) -> None:
        see(busy_poll=settings.busy_poll)

    def cpus_of(_root: str = "/") -> float:
        return cpus

    def nothing(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(cgroup, "cpus", cpus_of)
    monkeypatch.setattr(logs, "configure_logs", nothing)
    monkeypatch.setattr(process_options, "check_supervised", nothing)
    monkeypatch.setattr(run_command, "_worker", see)
    monkeypatch.setattr(onward_engine, "serve", serve)
    monkeypatch.setattr(workshop, "Workshop", see)
    with pytest.raises(Seen):
        CliRunner().invoke(app, command, env=environ)
    return found


@pytest.mark.parametrize("command", [START, RUN, DEV], ids=["engine start", "run", "dev"])
@pytest.mark.parametrize(("options", "environ", "cpus", "stays_awake"), SAID)
def test_where_there_are_two_processors_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    options: list[str],
    environ: dict[str, str],
    cpus: float,
    stays_awake: bool,
) -> None:
    assert told(monkeypatch, [*command, *options], cpus, environ) == [stays_awake]


@pytest.mark.parametrize(("cpus", "stays_awake"), [(2.0, False), (3.0, True)])
def test_two_worker_processes_need_three_processors(
    monkeypatch: pytest.MonkeyPatch, cpus: float, stays_awake: bool
) -> None:
    command = ["run", TARGET, "--no-supervise", "--processes", "2"]
    assert told(monkeypatch, command, cpus, {}) == [stays_awake]

"""Errors as the person at the terminal meets them."""

from __future__ import annotations

import pytest
from onward.errors import EngineRefused, NotConnected, RunFailed
from onward_cli.errors import CommandError, explain, guarded, report


def test_an_error_says_what_where_and_one_action(capsys: pytest.CaptureFixture[str]) -> None:
    status = report(CommandError("E0001", "no", where="a.py:1", advice="say yes", status=8), verbose=False)
    captured = capsys.readouterr()
    assert (status, captured.out) == (8, "")
    assert captured.err == "error[E0001]: no\n --> a.py:1\nhelp: say yes\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotConnected("gone"), 5),
        (NotConnected("wrong token", code="E0402"), 4),
        (NotConnected("newer protocol", code="E0403"), 9),
        (EngineRefused("no such run", status=404), 3),
        (EngineRefused("other body", status=409), 6),
        (EngineRefused("too busy", status=503), 75),
        (RunFailed("shop/order", "ValueError", "no"), 1),
        (TimeoutError("still running"), 7),
        (ZeroDivisionError("a bug"), 70),
    ],
)
def test_scripts_can_tell_failures_apart(error: Exception, status: int) -> None:
    assert explain(error).status == status


def test_a_traceback_is_shown_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    report(ZeroDivisionError("a bug"), verbose=False)
    assert "Traceback" not in capsys.readouterr().err
    report(ZeroDivisionError("a bug"), verbose=True)
    assert "Traceback" not in capsys.readouterr().out


def test_ctrl_c_ends_a_command_with_130_and_without_noise(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def command() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 130
    assert capsys.readouterr().err == ""

"""`worker config`: the settings that count here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple

import typer

from onward_cli.config import PREFIX, SETTINGS, origin_of, variable_of
from onward_cli.errors import guarded
from onward_cli.options import Output, Quiet
from onward_cli.output import Format, note, write_rows

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_TOKEN = PREFIX + "TOKEN"


class Setting(NamedTuple):
    """A setting as it is: its value may be hidden, and is empty if there is none."""

    id: str
    value: str
    origin: str


@app.callback()
def config() -> None:
    """Show the settings that count here, and where each comes from."""


@app.command()
@guarded
def show(
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    output: Output = Format.TABLE,
    quiet: Quiet = False,
) -> None:
    """Show all settings, and with --origin where each comes from.

    An option of a command goes before its environment variable, ONWARD_ and the setting in capitals; that before
    onward.toml or [tool.onward] of pyproject.toml in the folder where a command is started; and that before the
    default. Secrets are not shown.
    """
    rows = [one._asdict() for one in settings(os.environ, defaults())]
    write_rows(rows, output, ("id", "value", "origin") if origin else ("id", "value"))
    for name in _strangers(os.environ):
        note(f"note: {name}", quiet=quiet)


def settings(environ: Mapping[str, str], known: Mapping[str, str]) -> list[Setting]:
    """Return all settings, in the order of the list."""
    found = [_setting(name, variable_of(name), environ, known) for name in SETTINGS]
    return [*found, _setting("token", _TOKEN, environ, {})]


def _setting(name: str, variable: str, environ: Mapping[str, str], known: Mapping[str, str]) -> Setting:
    if environ.get(variable):
        value = "***" if variable == _TOKEN else shown(name, environ[variable])
        return Setting(name, value, origin_of(variable, environ))
    return Setting(name, known.get(variable, ""), "default")


def shown(name: str, value: str) -> str:
    """Return the value of a setting for people. A proxy's address that is wrong is a password for all we know."""
    from onward.dialing.proxies import parse_proxy
    from onward.dialing.way import DIRECT
    from onward.errors import ConfigError

    if name != "proxy" or value == DIRECT:
        return hidden(value)
    try:
        proxy = parse_proxy(value, name)
    except ConfigError:
        return "***"
    return str(proxy) if proxy.has_user else value


def hidden(value: str) -> str:
    """Return a value without the password that an address in it may have."""
    value = re.sub(r"(://[^/@\s]*?:)\S*@", r"\1***@", value)
    return re.sub(r"([?&]\w*password=)[^&\s]*", r"\1***", value)


def defaults() -> dict[str, str]:
    """Return what holds if nobody says anything, by variable, as the commands' options have it."""
    from onward.settings import URL_DEFAULT

    from onward_cli.tree import options

    found = {variable: _text(uses[0][1].default) for variable, uses in options().items()}
    return {**found, variable_of("url"): URL_DEFAULT, variable_of("compression"): "auto"}


def _text(default: Any) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case _:
            return str(getattr(default, "value", default))


def _strangers(environ: Iterable[str]) -> list[str]:
    """Say which variables look like settings and are none: typing errors, mostly."""
    known = [*map(variable_of, SETTINGS), _TOKEN]
    likely = {name: get_close_matches(name, known, n=1, cutoff=0.8) for name in sorted(environ) if name not in known}
    return [
        f"{name} is no setting; did you mean {close[0]}?"
        for name, close in likely.items()
        if name.startswith(PREFIX) and close
    ]

"""All commands and all their options, for what tells of them: the settings, and the pages of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from onward_cli.commands import COMMANDS, app


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Yield every command: its path without `worker`, itself, and a context of it. Loads all of them."""
    root: Any = typer.main.get_command(app)
    top = root.context_class(root, info_name="worker", **root.context_settings)
    for name in COMMANDS:
        yield from _below(name, root.get_command(top, name), top)


def _below(path: str, command: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    context = command.context_class(command, info_name=path.rpartition(" ")[2], parent=parent)
    yield path, command, context
    for name, one in getattr(command, "commands", {}).items():
        yield from _below(f"{path} {name}", one, context)


def options() -> dict[str, list[tuple[str, Any]]]:
    """Return what is read from environment variables, by variable: options, each with its command's path."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for path, command, _ in commands():
        for param in command.params:
            if variable := variable_of(param):
                found.setdefault(variable, []).append((path, param))
    return found


def variable_of(param: Any) -> str:
    """Return the variable that an option is read from. Some are read by the SDK, and then their help says so."""
    said = re.search(r"\[env var: (\w+)", getattr(param, "help", None) or "")
    return str(param.envvar or (said[1] if said else ""))

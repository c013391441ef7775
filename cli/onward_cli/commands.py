"""The `worker` command. Sub-commands are imported when they are asked for, so that a start stays quick."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "run": "onward_cli.run",
    "dev": "onward_cli.dev",
    "engine": "onward_cli.engine",
    "send": "onward_cli.send",
    "runs": "onward_cli.runs",
    "version": "onward_cli.version",
}


class Commands(TyperGroup):
    """Sub-commands by name, each from a module of its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names, in the order in which somebody meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a sub-command, or None if there is no such."""
        module = COMMANDS.get(cmd_name)
        return module and typer.main.get_command(import_module(module).app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the sub-command that the arguments name, or fail with the name that was probably meant."""
        if args[0] not in COMMANDS and (close := get_close_matches(args[0], COMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def worker() -> None:
    """Onward runs Python functions durably: every finished step is kept, over one outgoing WebSocket."""

"""The `worker` command. Sub-commands are imported when they are asked for, so that a start stays quick."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "run": ("onward_cli.run", "Run a worker: connect to the engine and execute what it assigns, until SIGTERM."),
    "dev": ("onward_cli.dev", "Start an engine and a worker here, and the worker again whenever a file changes."),
    "engine": ("onward_cli.engine", "Run the engine, and look after its database."),
    "send": ("onward_cli.send", "Send an event."),
    "events": ("onward_cli.events", "List events, show one with the runs that it started."),
    "runs": ("onward_cli.runs", "List runs, show one, follow it, wait for its end, change it."),
    "functions": ("onward_cli.functions", "List functions, show one, start it, pause it."),
    "queues": ("onward_cli.queues", "See what waits and for what, purge it, set limits."),
    "schedules": ("onward_cli.schedules", "List schedules, pause one, make up for ticks of the past."),
    "signals": ("onward_cli.signals", "Send signals to runs."),
    "workers": ("onward_cli.workers", "See who is connected."),
    "probe": ("onward_cli.probe", "Ask the worker in this container whether it is live, or ready."),
    "version": ("onward_cli.version", "Print the version, and of what it depends on."),
}
"""Where each command is, and what `worker --help` says of it without importing it. In the order in which somebody meets
them.
"""


class Commands(TyperGroup):
    """Sub-commands by name, each from a module of its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a sub-command, or None if there is no such."""
        if cmd_name not in COMMANDS:
            return None
        found = typer.main.get_command(import_module(COMMANDS[cmd_name][0]).app)
        return _forgiving(found)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the sub-command that the arguments name, or fail with the name that was probably meant."""
        _guess(self, ctx, args)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the sub-commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


class Subcommands(TyperGroup):
    """The sub-commands of one command, with the same kindness to typing errors."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the sub-command that the arguments name, or fail with the name that was probably meant."""
        _guess(self, ctx, args)
        return super().resolve_command(ctx, args)


def _forgiving(command: Any) -> Any:
    if isinstance(command, TyperGroup):
        command.__class__ = Subcommands
    return command


def _guess(group: TyperGroup, ctx: Any, args: list[str]) -> None:
    names = group.list_commands(ctx)
    if args[0] not in names and (close := get_close_matches(args[0], names, n=1)):
        ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")


app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=False, no_args_is_help=True)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        import_module(COMMANDS["version"][0]).version()
        raise typer.Exit


@app.callback()
def worker(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="As `worker version`.")
    ] = False,
) -> None:
    """Onward runs Python functions durably: every finished step is kept, over one outgoing WebSocket."""

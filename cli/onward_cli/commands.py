"""The `worker` command. Sub-commands are imported when they are asked for, so that a start stays quick."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

COMMANDS = {
    "init": ("onward_cli.init", "Make a folder with an App, its test, an image and manifests."),
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
    "doctor": ("onward_cli.doctor.command", "Find out why a worker does not reach its engine."),
    "config": ("onward_cli.configuring", "Show the settings that count here, and where each comes from."),
    "errors": ("onward_cli.codes", "Explain an error by its code: what it means, what to do."),
    "completion": ("onward_cli.completion", "Print a script that lets a shell complete commands and options."),
    "version": ("onward_cli.version", "Print the version, and of what it depends on."),
}
"""Where each command is, and what `worker --help` says of it without importing it. In the order in which somebody meets
them.
"""

_EPILOG = """\b
worker COMMAND --help     explains a command, with examples
worker config show        lists all settings, and what they are here
worker errors CODE        explains an error
"""


UsageError: Any = typer.BadParameter.__mro__[1]
"""The base of what the parser raises; its name is in another module with every few releases of typer."""


class Subcommands(TyperGroup):
    """The sub-commands of one command, with kindness to typing errors."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the sub-command that the arguments name, or fail with the name that was probably meant."""
        _guess(self, ctx, args)
        return super().resolve_command(ctx, args)


class Commands(Subcommands):
    """Sub-commands by name, each from a module of its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a sub-command, or None if there is no such."""
        if cmd_name not in COMMANDS:
            return None
        from onward_cli.wording import polished

        found = typer.main.get_command(import_module(COMMANDS[cmd_name][0]).app)
        return polished(_forgiving(found), cmd_name)

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Read the options before the sub-command. `worker help runs list` is `worker runs list --help`."""
        words = [*args[1:], "--help"] if args[:1] == ["help"] else args
        try:
            return super().make_context(info_name, words, parent, **extra)
        except Exception as error:  # noqa: BLE001 - what a callback of an option has overlooked, too
            _end(error)

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command."""
        try:
            return super().invoke(ctx)
        except Exception as error:  # noqa: BLE001 - what a callback of an option has overlooked, too
            _end(error)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the sub-commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what a word can become, without importing all commands for their help."""
        from onward_cli.completion import Item

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [Item(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]


def _forgiving(command: Any) -> Any:
    if isinstance(command, TyperGroup):
        command.__class__ = Subcommands
    return command


def _end(error: Any) -> NoReturn:
    """End the process as every error does: when the parser does not understand, or when nobody has."""
    from onward_cli.errors import report
    from onward_cli.usage import explain

    if isinstance(error, typer.Exit | typer.Abort | BrokenPipeError) or type(error).__name__ == "NoArgsIsHelpError":
        raise error  # the parser's own ways to end
    known = explain(error) if isinstance(error, UsageError) else error
    sys.exit(report(known, verbose=not {"-v", "--verbose"}.isdisjoint(sys.argv)))


def _guess(group: TyperGroup, ctx: Any, args: list[str]) -> None:
    names = group.list_commands(ctx)
    if args[0] in names or ctx.resilient_parsing:
        return
    if close := get_close_matches(args[0], names, n=1):
        ctx.fail(f"{ctx.command_path} has no command {args[0]!r}. Did you mean {close[0]!r}?")
    ctx.fail(f"{ctx.command_path} has no command {args[0]!r}")


app = typer.Typer(
    name="worker",
    cls=Commands,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


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

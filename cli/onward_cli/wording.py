"""What `--help` says beyond what the parser makes of it: words for kinds of values, and examples."""

from __future__ import annotations

from typing import Any

from onward_cli.examples import EXAMPLES

_WORDS = {
    **dict.fromkeys(("int", "integer", "int range", "integer range", "float", "float range"), "N"),
    **dict.fromkeys(("path", "file"), "FILE"),
    **dict.fromkeys(("str", "text"), "TEXT"),
}
_NAMED = {
    **dict.fromkeys(("--drain-timeout", "--park-ttl", "--max-connection-age", "--stall-limit"), "DURATION"),
    **dict.fromkeys(("--retention", "--delay", "--timeout"), "DURATION"),
    **dict.fromkeys(("--url", "--public-url"), "URL"),
    "--checkpoint": "SETTING",
    "--db": "FILE|URL",
    "--function": "FUNCTION",
    "--host": "ADDRESS",
    "--id": "ID",
    "--key": "KEY",
    "--label": "NAME=VALUE",
    "--name": "NAME",
    "--run": "RUN",
    "--run-dir": "DIR",
    "--token-file": "FILE",
}
"""What goes behind options that are text for the parser, whichever command has them."""


def polished(command: Any, path: str) -> Any:
    """Return a command whose help, and that of those below it, reads well. Its path is without `worker`."""
    for param in command.params:
        if param.param_type_name == "option":
            param.metavar = param.metavar or (None if param.is_flag else _word(param))
        else:
            _name_plainly(param)
    if path in EXAMPLES:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[path])
    for name, below in getattr(command, "commands", {}).items():
        polished(below, f"{path} {name}")
    return command


def _word(option: Any) -> str | None:
    known = (_NAMED[name] for name in option.opts if name in _NAMED)
    return next(known, _WORDS.get(option.type.name))


def _name_plainly(argument: Any) -> None:
    """An argument that may be left out stands in brackets, and one that may not in none; typer has braces."""
    word = argument.metavar or "|".join(getattr(argument.type, "choices", ())) or argument.name.upper()
    name = word if argument.required or word.startswith("[") else f"[{word}]"

    def plain(*_: object, **__: object) -> str:
        return name

    argument.metavar, argument.make_metavar = name, plain

"""A command that was not understood: what is wrong with it, in the same form as every other error."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from onward_cli.errors import CommandError
from onward_cli.examples import EXAMPLES

CODE = "E0500"
_KINDS = {"int range": "whole number", "integer range": "whole number", "int": "whole number", "float": "number"}


def explain(error: Any) -> CommandError:
    """Return what the parser has found as an error with one action."""
    path = error.ctx.command_path if error.ctx else "worker"
    match type(error).__name__:
        case "NoSuchOption":
            return CommandError(CODE, f"{path} has no option {error.option_name}", advice=_option(error, path))
        case "MissingParameter":
            what = f"{path} needs {_name(error)}"
            return CommandError(CODE, what, advice=f"write it like {_example(path) or _usage(error)}")
        case "BadParameter" if error.param:
            return CommandError(CODE, f"{_name(error)}: {_reason(error)}", where=_where(error), advice=_see(path))
        case _:
            text = error.format_message().rstrip(".")
            what, _, guess = text.partition(". Did")
            return CommandError(CODE, what[:1].lower() + what[1:], advice=f"did{guess}" if guess else _see(path))


def _option(error: Any, path: str) -> str:
    known = [name for param in error.ctx.command.params for name in (*param.opts, *param.secondary_opts)]
    begun = [name for name in known if name.startswith(error.option_name)]
    close = begun or get_close_matches(error.option_name, [name for name in known if name.startswith("--")], n=1)
    return f"did you mean {' or '.join(close)}?" if close else _misplaced(error, path)


def _misplaced(error: Any, path: str) -> str:
    """Say where an option belongs that stands before the command that has it."""
    below = getattr(error.ctx.command, "commands", {})
    if owner := next((name for name, one in below.items() if _has(one, error.option_name)), None):
        return f"{path} {owner} has it"
    is_root = error.ctx.parent is None
    return f"options stand behind the command: {path} COMMAND {error.option_name}" if is_root else _see(path)


def _has(command: Any, option: str) -> bool:
    return any(option in param.opts for param in command.params)


def _name(error: Any) -> str:
    """Return what somebody has to write: an option's long name, an argument's metavar."""
    param = error.param
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name.upper()).strip("[]")


def _reason(error: Any) -> str:
    text = str(error.message).rstrip(".")
    for theirs, ours in _KINDS.items():
        text = text.replace(f"not a valid {theirs}", f"not a {ours}")
    return text


def _where(error: Any) -> str:
    """Say where a value comes from that is not on the command line."""
    source = error.ctx.get_parameter_source(error.param.name) if error.ctx else None
    if source is None or source.name != "ENVIRONMENT":
        return ""
    from onward_cli.config import origin_of

    variable = str(error.param.envvar)
    return f"{variable} of the environment" if (origin := origin_of(variable)) == variable else origin


def _example(path: str) -> str:
    return EXAMPLES.get(path.partition(" ")[2], ("",))[0]


def _usage(error: Any) -> str:
    return " ".join(error.ctx.get_usage().removeprefix("Usage:").split())


def _see(path: str) -> str:
    return f"see {path} --help"

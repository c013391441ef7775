"""`worker completion`: scripts that let a shell complete, and the answers to what those scripts ask.

A script starts the command itself with the words of the line, the last of them unfinished, and a variable that says
which shell asks. Where there is nothing to offer, the shell completes names of files.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

import typer

from onward_cli.errors import guarded

app = typer.Typer(rich_markup_mode=None, add_completion=False)

VARIABLE: Final = "_WORKER_COMPLETE"
HELP_CHARS_MAX: Final = 80


class Shell(StrEnum):
    """Shells that can ask."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class Item(NamedTuple):
    """What a word can become. The parser has a class of its own with the same attributes."""

    value: str
    type: str = "plain"
    help: str | None = None


_BASH = """\
_worker_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(_WORKER_COMPLETE=bash worker "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null))
}
complete -o bashdefault -o default -F _worker_complete worker"""

_ZSH = """\
#compdef worker
_worker_complete() {
    local -a found
    found=("${(@f)$(_WORKER_COMPLETE=zsh worker "${(@)words[1,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then _describe -V worker found; else _files; fi
}
if [[ "$funcstack[1]" = _worker ]]; then _worker_complete "$@"; else compdef _worker_complete worker; fi"""

_FISH = """\
function __worker_complete
    set -l found (_WORKER_COMPLETE=fish worker (commandline -opc) (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command worker --no-files --arguments '(__worker_complete)'"""

_SCRIPTS: Final = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


@app.command()
@guarded
def completion(shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Your shell.")]) -> None:
    """Print a script that lets your shell complete commands, options and their values.

    Load it where your shell is set up, as the examples show, and open a new terminal.
    """
    print(_SCRIPTS[shell])


def answer(words: list[str]) -> int:
    """Print what the last of the words of a line can become, a line each. Returns the status to exit with."""
    from onward_cli.commands import app as commands

    form = _FORMS.get(os.environ[VARIABLE], _plain)
    root: Any = typer.main.get_command(commands)
    for item in offers(root, words[1:]):
        sys.stdout.write(form(item) + "\n")
    return 0


def offers(root: Any, words: list[str]) -> list[Any]:
    """Return what the last word can become."""
    from typer._completion_classes import BashComplete

    from onward_cli.commands import COMMANDS

    if len(words) > 1 and not words[0].startswith("-") and words[0] not in COMMANDS:
        return []
    found = BashComplete(root, {}, "worker", VARIABLE).get_completions(words[:-1], words[-1] if words else "")
    return [item for item in found if item.type == "plain"]  # the others ask for names of files


def _plain(item: Item) -> str:
    return item.value


def _described(item: Item) -> str:
    value = item.value.replace(":", "\\:")
    return f"{value}:{_short(item.help)}" if item.help else value


def _tabbed(item: Item) -> str:
    return f"{item.value}\t{_short(item.help)}" if item.help else item.value


def _short(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= HELP_CHARS_MAX else line[: HELP_CHARS_MAX - 1] + "…"


_FORMS: Final = {"zsh": _described, "fish": _tabbed}

"""`worker errors`: what each code means, and what to do."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from onward_cli.errors import CommandError, guarded
from onward_cli.exits import Exit
from onward_cli.options import Output
from onward_cli.output import Format, write_one, write_rows

if TYPE_CHECKING:
    from onward_cli.catalogue import Explanation

app = typer.Typer(rich_markup_mode=None, add_completion=False)


def _known(incomplete: str) -> list[tuple[str, str]]:
    from onward_cli.catalogue import GROUPS

    return [
        (code, entry.meaning)
        for group in GROUPS.values()
        for code, entry in group.items()
        if code.startswith(incomplete.upper())
    ]


@app.command()
@guarded
def errors(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]",
            autocompletion=_known,
            help="A code such as E0412, the engine's name for it, or the class; all of them without.",
        ),
    ] = None,
    *,
    output: Output = Format.TABLE,
) -> None:
    """Explain an error by its code: what it means, what usually causes it, what to do."""
    from onward_cli.catalogue import explanations

    known = explanations()
    if code is None:
        write_rows([_row(one) for one in known.values()], output, ("id", "meaning"))
        return
    found = _find(known, code)
    if output is Format.TABLE:
        print(f"{found.code}: {found.meaning}\n\nUsually: {found.cause}\nWhat to do: {found.action}")
        if found.reasons:
            print(f"The engine's answers call it: {', '.join(found.reasons)}")
        if found.types:
            print(f"In Python, and in the record of a run: {', '.join(found.types)}")
    else:
        write_one(_row(found), output)


def _find(known: dict[str, Explanation], text: str) -> Explanation:
    number = re.fullmatch(r"[eE]?(\d{1,4})", text)
    wanted = f"E{int(number[1]):04}" if number else text
    for one in known.values():
        if wanted == one.code or wanted in _names(one):
            return one
    close = get_close_matches(wanted, [*known, *(name for one in known.values() for name in _names(one))], n=1)
    raise CommandError(
        "E0516",
        f"there is no error {text!r}",
        advice=f"did you mean {close[0]}?" if close else "list those that there are: worker errors",
        status=Exit.NOT_FOUND,
    )


def _names(one: Explanation) -> tuple[str, ...]:
    return (*one.reasons, *one.types)


def _row(one: Explanation) -> dict[str, object]:
    return {"id": one.code, **{name: value for name, value in one._asdict().items() if name != "code"}}

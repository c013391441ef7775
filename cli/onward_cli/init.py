"""`worker init`: a folder to begin with."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Final

import typer

from onward_cli.arguments import Folder
from onward_cli.errors import CommandError, guarded
from onward_cli.exits import Exit
from onward_cli.options import Quiet
from onward_cli.output import note

app = typer.Typer(rich_markup_mode=None, add_completion=False)

TEMPLATES: Final = Path(__file__).with_name("templates")
_SUFFIX: Final = ".in"  # so that no tool takes them for files of this project
_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


def _checked(name: str | None) -> str | None:
    if name is not None and not _NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r} is not 1 to 40 letters, digits and '-', small and beginning with a letter")
    return name


@app.command()
@guarded
def init(
    folder: Folder,
    *,
    name: Annotated[
        str | None, typer.Option("--name", callback=_checked, help="The App's name; default: the folder's.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make a folder with an App, its test, an image and manifests.

    Nothing that is there already is changed: if one of the files exists, none is written.
    """
    home = Path(folder)
    name = name or _name_of(home)
    files = contents(name)
    _check_free(home, files)
    for path, text in files.items():
        _write(home / path, text)
    print(*sorted(str(home / path) for path in files), sep="\n")
    note(_next_steps(home, name), quiet=quiet)


def contents(name: str) -> dict[str, str]:
    """Return the files of an App of this name: what is in them, by their paths."""
    from importlib.metadata import version

    words = {"{{name}}": name, "{{version}}": version("onward")}
    pattern = re.compile("|".join(map(re.escape, words)))
    return {
        _path(file): pattern.sub(lambda found: words[found[0]], file.read_text("utf-8"))
        for file in sorted(TEMPLATES.rglob(f"*{_SUFFIX}"))
    }


def _path(template: Path) -> str:
    path = template.relative_to(TEMPLATES).as_posix().removesuffix(_SUFFIX)
    return re.sub(r"^dot-", ".", path)


def _name_of(folder: Path) -> str:
    word = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).lstrip("-0123456789").rstrip("-")
    if not _NAME.fullmatch(word):
        raise CommandError(
            "E0508", f"{folder.resolve().name!r} makes no name for an App", advice="give one: --name shop"
        )
    return word


def _check_free(folder: Path, files: dict[str, str]) -> None:
    taken = [path for path in files if os.path.lexists(folder / path)]
    if taken:
        raise CommandError(
            "E0515",
            f"{folder} has {', '.join(taken)} already; nothing was written",
            advice="name another folder, or move the files away",
            status=Exit.CONFLICT,
        )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(
            "E0507", f"{path} cannot be written: {error.strerror}", advice="name another folder"
        ) from None


def _next_steps(folder: Path, name: str) -> str:
    return "\n".join(
        (
            f"\nnext   cd {shlex.quote(str(folder))}",
            "       pip install -r requirements-dev.txt",
            "       python -m pytest",
            "       worker dev app:functions",
            f'       worker send {name}/order.placed \'{{"id": "o1", "total": 12}}\'    # in a second terminal',
        )
    )

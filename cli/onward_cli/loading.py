"""From `module:attribute` to the user's functions, or to a sentence that says what was looked for and where."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import re
import shlex
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from onward_cli.errors import CommandError
from onward_cli.exits import Exit


def load(target: str) -> Any:
    """Return what `module:attribute` names; without an attribute, the module. Raises `CommandError`.

    The current directory comes first on the import path.
    """
    module_name, attribute = parse(target)
    search_here()
    module = _import(module_name)
    return _find(module, attribute) if attribute else module


def parse(target: str) -> tuple[str, str]:
    """Return the names in `module:attribute`, or in `module`. Raises `CommandError` for what no file can make right."""
    module_name, colon, attribute = target.partition(":")
    if not module_name or (colon and not attribute):
        raise CommandError("E0502", f"{target!r} names no app", advice="write module:attribute, such as app:functions")
    if module_name.endswith(".py") or {"/", "\\"} & set(module_name):
        raise _path_for_module(module_name, attribute)
    return module_name, attribute


def _path_for_module(path: str, attribute: str) -> CommandError:
    dotted = ".".join(part for part in re.split(r"[/\\]", path.removesuffix(".py")) if part.strip("."))
    return CommandError(
        "E0502",
        f"{path!r} is a path; what is loaded is a module, by its dotted name",
        advice=f"did you mean {dotted + (attribute and ':' + attribute)!r}?",
    )


def search_here() -> None:
    """Put the current directory first on the import path."""
    here = os.getcwd()
    if sys.path[:1] != [here]:
        sys.path.insert(0, here)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and (name == missing.name or name.startswith(f"{missing.name}.")):
            raise _unknown_module(missing.name) from None
        raise _broken_module(name, missing) from missing
    except (Exception, SystemExit) as error:
        raise _broken_module(name, error) from error


def _unknown_module(name: str) -> CommandError:
    parent, _, last = name.rpartition(".")
    owner = sys.modules.get(parent)
    if owner is not None and hasattr(owner, last):
        return CommandError(
            "E0503",
            f"there is no module {name!r}, but {last!r} in the module {parent!r}",
            advice=f"did you mean '{parent}:{last}'?",
            status=Exit.IMPORT,
        )
    folders = list(getattr(owner, "__path__", [os.getcwd()]))
    known = [found.name for found in pkgutil.iter_modules(folders)]
    return CommandError(
        "E0503",
        f"there is no module {name!r}; looked in {folders[0]}, then in the installed packages",
        advice=_below(name)
        or _did_you_mean(last, known)
        or "run the command where the module is, or install its package",
        status=Exit.IMPORT,
    )


def _below(name: str) -> str:
    folders = sorted(path.parent for path in Path().glob(f"*/{name}.py"))
    return f"it is in the folder {folders[0]}: cd {shlex.quote(str(folders[0]))}" if folders else ""


def _broken_module(name: str, error: BaseException) -> CommandError:
    """The user's module raised: show the part of the traceback that is theirs."""
    from onward.errors import OnwardError

    own = _without_importers(error.__traceback__)
    if isinstance(error, OnwardError) and error.code:
        where = error.where or place(own)
        return CommandError(error.code, error.message, where=where, advice=error.help, status=Exit.IMPORT)
    return CommandError(
        "E0504",
        f"importing {name!r} failed: {type(error).__name__}: {error}",
        where=place(own),
        detail="".join(traceback.format_exception(type(error), error, own)),
        status=Exit.IMPORT,
    )


def _without_importers(trace: TracebackType | None) -> TracebackType | None:
    """Drop the frames of this file and of the import system above the user's first one."""
    while trace is not None and _is_importer(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_importer(filename: str) -> bool:
    return filename in {__file__, importlib.__file__} or filename.startswith("<frozen importlib")


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return what comes below the SDK's call of a lifespan or of middleware in a traceback."""
    from onward import lifecycle

    frames: list[TracebackType] = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    files = [frame.tb_frame.f_code.co_filename for frame in frames]
    calls = [place for place, file in enumerate(files) if file == lifecycle.__file__]
    below = frames[calls[-1] + 1 :] if calls else frames
    return next((frame for frame in below if frame.tb_frame.f_code.co_filename != contextlib.__file__), None)


def place(trace: TracebackType | None) -> str:
    """Return the last line that is not ours: where the user can change something."""
    import onward

    ours = os.path.dirname(onward.__file__)
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(ours)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _find(module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise _unknown_attribute(module, attribute, found, name)
        found = getattr(found, name)
    return found


def _unknown_attribute(module: ModuleType, attribute: str, owner: object, name: str) -> CommandError:
    public = [known for known in vars(owner) if not known.startswith("_")]
    return CommandError(
        "E0505",
        f"module {module.__name__!r} has no {attribute!r}",
        where=module.__file__ or "",
        advice=_did_you_mean(name, public) or _what_there_is(owner, public),
        status=Exit.IMPORT,
    )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def _what_there_is(owner: object, public: list[str]) -> str:
    from onward.app import App

    apps = [name for name in public if isinstance(getattr(owner, name), App)]
    if apps:
        return f"the apps there are: {', '.join(apps)}"
    return "create one there: functions = App('name')"

"""What went wrong, for the person at the terminal: what, where, and one action.

Every command runs inside `guarded`, so that nobody meets a traceback of ours unless they asked for it with `-v`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from onward_cli.exits import Exit
from onward_cli.refusals import KNOWN, UNKNOWN

P = ParamSpec("P")


FULL = {errno.ENOSPC, errno.EDQUOT}
"""What a system says when a disk or a quota is full."""
_ROOM = "make room on the disk to which the output or the files of this command go"


class CommandError(Exception):
    """A command cannot go on. `detail` is text of the user's own, such as a traceback through their module."""

    def __init__(
        self, code: str, what: str, *, where: str = "", advice: str = "", detail: str = "", status: int = Exit.USAGE
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.advice = advice
        self.detail = detail
        self.status = int(status)


_DECLARATIONS = {
    *("E0101", "E0102", "E0103", "E0106", "E0107", "E0108", "E0109", "E0110", "E0112", "E0113", "E0117"),
    *("E0121", "E0122"),
}
"""Errors in the user's module, as opposed to options of a command."""


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Run a command; end the process with the right status and a clear sentence when it fails."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(Exit.INTERRUPTED)
        except BrokenPipeError:
            _discard_output()
        except Exception as error:  # noqa: BLE001 - the border to the person: every error becomes a sentence here
            sys.exit(report(error, verbose=bool(kwargs.get("verbose"))))

    return run


def report(error: Exception, *, verbose: bool) -> int:
    """Print an error to stderr; return the exit status that goes with it."""
    known = explain(error)
    if verbose:
        traceback.print_exception(error)
    print(_text(known), file=sys.stderr)
    return known.status


def explain(error: Exception) -> CommandError:
    """Return any error as a `CommandError`."""
    if isinstance(error, CommandError):
        return error
    from onward.errors import OnwardError

    if isinstance(error, OnwardError):
        return _explain_sdk(error)
    if isinstance(error, TimeoutError):
        return CommandError("E0501", str(error) or "timed out", status=Exit.TIMED_OUT)
    if note := _note_of(error):
        return _explain_surroundings(error, note)
    if isinstance(error, OSError) and error.errno in FULL:
        return CommandError("E0518", f"nothing can be written: {error.strerror}", advice=_ROOM, status=Exit.TRY_AGAIN)
    return CommandError(
        "E0999",
        f"{type(error).__name__}: {error}",
        advice="this is a bug in Onward; run the command again with -v and report what it prints",
        status=Exit.BUG,
    )


def _note_of(error: Exception) -> str:
    """Return the SDK's note that an error is from what the user's code does around all runs; empty if it is not."""
    from onward.lifecycle import LIFESPAN_NOTE, MIDDLEWARE_NOTE

    return next((note for note in (LIFESPAN_NOTE, MIDDLEWARE_NOTE) if note in getattr(error, "__notes__", ())), "")


def _explain_surroundings(error: Exception, note: str) -> CommandError:
    from onward_cli.loading import place, users_part

    trace = users_part(error.__traceback__)
    return CommandError(
        "E0517",
        f"{note}: {type(error).__name__}: {error}",
        where=place(trace),
        detail="".join(traceback.format_exception(type(error), error, trace)).removesuffix(f"{note}\n"),
        status=Exit.IMPORT,
    )


def _explain_sdk(error: Any) -> CommandError:
    from onward import errors

    code, advice = error.code or "E0400", error.help
    match error:
        case errors.EngineRefused():
            known = KNOWN.get(error.code, UNKNOWN)
            status, code, advice = _of_http(error.status), known.code, known.advice
        case errors.NotConnected():
            status = _NOT_CONNECTED.get(code, Exit.UNREACHABLE)
        case errors.WorkFailed():
            return CommandError(code, str(error), advice=error.help, status=Exit.RUN_FAILED)
        case errors.ConfigError() if code in _DECLARATIONS:
            status = Exit.IMPORT
        case _:
            status = Exit.USAGE
    return CommandError(code, error.message, where=error.where, advice=advice, status=status)


_NOT_CONNECTED = {"E0402": Exit.AUTH, "E0403": Exit.VERSION, "E0408": Exit.AUTH, "E0410": Exit.AUTH}
"""What the engine, or a proxy before it, asked for in vain; anything else is the way there."""


def _of_http(status: int) -> Exit:
    known = {401: Exit.AUTH, 403: Exit.AUTH, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 426: Exit.VERSION}
    if status in known:
        return known[status]
    return Exit.TRY_AGAIN if status in {429, 503} else Exit.USAGE


def _text(error: CommandError) -> str:
    lines = [f"{_mark(f'error[{error.code}]')}: {error.what}"]
    if error.where:
        lines.append(f" --> {error.where}")
    if error.detail:
        lines.append(error.detail.rstrip())
    if error.advice:
        lines.append(f"help: {error.advice}")
    return "\n".join(lines)


def _mark(text: str) -> str:
    plain = not sys.stderr.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[1;31m{text}\033[0m"


def _discard_output() -> None:
    """Leave quietly when the reader of our output has gone, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(Exit.OK)

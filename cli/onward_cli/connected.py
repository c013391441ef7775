"""Commands that speak to an engine: the options that say which, a client of it, and which runs are meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from inspect import Parameter
from typing import Annotated, Any, cast

import typer
from onward.errors import EngineRefused
from onward.lists import RunsWanted

from onward_cli.errors import guarded
from onward_cli.guesses import with_guess
from onward_cli.options import Insecure, TokenFile, Url, Verbose, client_of
from onward_cli.reaching import CaFile, ClientCert, ClientKey, Proxy

Command = Callable[..., None]

_WAY = {
    "proxy": (Proxy, None),
    "ca_file": (CaFile, None),
    "client_cert": (ClientCert, None),
    "client_key": (ClientKey, None),
}
_CONNECTION = {
    "url": (Url, None),
    "token_file": (TokenFile, None),
    "insecure": (Insecure, False),
    **_WAY,
    "verbose": (Verbose, False),
}


def connected(command: Command) -> Command:
    """Give a command a client as its first argument, and the options that name the engine."""

    def run(*, url: str | None, token_file: str | None, insecure: bool, verbose: bool, **options: Any) -> None:
        del verbose
        way = {name: options.pop(name) for name in _WAY}
        with client_of(url, token_file, insecure=insecure, **way) as client:
            try:
                command(client, **options)
            except EngineRefused as error:
                raise with_guess(client, error, _named(options)) from error

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    return _with_signature(guarded(run), [*_parameters(command)[1:], *_options(_CONNECTION)])


def _named(options: dict[str, Any]) -> str:
    """Return what a command is about."""
    return next((str(options[name]) for name in ("run", "function", "event") if options.get(name)), "")


def selecting(command: Command) -> Command:
    """Give a command what `RunsWanted` means as its second argument, and the options that say it."""

    def run(client: object, **options: Any) -> None:
        said = {name: options.pop(name) for name in _SELECTION}
        command(client, wanted_of(said), **options)

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    own = _parameters(command)
    return _with_signature(run, [own[0], *own[2:], *_options(_SELECTION)])


def wanted_of(said: dict[str, Any]) -> RunsWanted:
    """Return which runs the options name; only what is said is in it."""
    wanted: dict[str, Any] = {
        "status": [one for text in said["status"] or () for one in text.split(",") if one],
        "function": said["function"],
        "event": said["event"],
        "key": said["key"],
        "tags": dict(_tag(text) for text in said["tag"] or ()),
        "id": said["id_prefix"],
        "created_from": moment(said["since"]),
        "created_until": moment(said["until"]),
        "ended_from": moment(said["ended_since"]),
        "ended_until": moment(said["ended_until"]),
        "where": said["where"],
    }
    return cast("RunsWanted", {name: value for name, value in wanted.items() if value})


def moment_of(text: str | None) -> str | None:
    """Check how a moment is written: a time, or how long ago."""
    moment(text)
    return text


def moment(text: str | None) -> datetime | None:
    """Return the moment that an option names."""
    if not text:
        return None
    try:
        return _moment(text)
    except (ValueError, OverflowError):
        advice = "write how long ago, such as 30m or 2h, or a time such as 2026-11-22T08:00 or 2026-11-22"
        raise typer.BadParameter(f"{text!r} is no time; {advice}") from None


def _moment(text: str) -> datetime:
    from onward.durations import duration_ms

    with suppress(ValueError):
        return datetime.now(UTC) - timedelta(milliseconds=duration_ms(text))
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.astimezone()


def _tag(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _tags(texts: list[str] | None) -> list[str] | None:
    for text in texts or ():
        if "=" not in text[1:]:
            raise typer.BadParameter(f"a tag is written key=value, not {text!r}")
    return texts


def _texts(name: str, metavar: str, what: str, **more: Any) -> Any:
    return Annotated[list[str] | None, typer.Option(name, metavar=metavar, help=what, **more)]


def _text(name: str, metavar: str, what: str, **more: Any) -> Any:
    return Annotated[str | None, typer.Option(name, metavar=metavar, help=what, **more)]


_SELECTION: dict[str, tuple[Any, Any]] = {
    "status": (_texts("--status", "STATUS", "Runs in this status; several with commas, or by repeating it."), None),
    "function": (_text("--function", "ID", "Runs of this function."), None),
    "event": (
        _text("--event", "EVENT", "Runs that this event started: its id, its name, or names like 'shop/*'."),
        None,
    ),
    "key": (_text("--key", "KEY", "Runs with this key of their event, or of their concurrency limit."), None),
    "tag": (_texts("--tag", "KEY=VALUE", "Runs with this tag; may be repeated.", callback=_tags), None),
    "id_prefix": (_text("--id", "ID", "Runs whose id begins so."), None),
    "since": (
        _text("--since", "TIME", "Runs made then or later: 2h (ago) or 2026-11-22T08:00.", callback=moment_of),
        None,
    ),
    "until": (_text("--until", "TIME", "Runs made before.", callback=moment_of), None),
    "ended_since": (
        _text("--ended-since", "TIME", "Runs that are over since then or later.", callback=moment_of),
        None,
    ),
    "ended_until": (_text("--ended-until", "TIME", "Runs that were over before.", callback=moment_of), None),
    "where": (
        _text("--where", "EXPRESSION", "Runs for which this is true, such as 'run.output.total > 10'."),
        None,
    ),
}


def _options(options: dict[str, tuple[Any, Any]]) -> list[Parameter]:
    return [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]


def _parameters(command: Command) -> list[Parameter]:
    return list(inspect.signature(command, eval_str=True).parameters.values())


def _with_signature(command: Command, parameters: Sequence[Parameter]) -> Command:
    # typer reads options off the signature.
    vars(command)["__signature__"] = inspect.Signature(list(parameters))
    vars(command).pop("__wrapped__", None)
    return command

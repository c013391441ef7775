"""`worker send`."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from onward import Event, SyncClient
from onward.durations import SLEEP_MS_MAX, duration_ms

from onward_cli.connected import connected
from onward_cli.errors import CommandError
from onward_cli.options import Output, Quiet
from onward_cli.output import Format, note, write_rows

app = typer.Typer(rich_markup_mode=None, add_completion=False)


def _duration(text: str | None) -> str | None:
    try:
        delay_ms = _delay_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write it like 90s, 10m or 2d") from error
    if delay_ms > SLEEP_MS_MAX:
        raise typer.BadParameter(f"{text!r} is more than 366 days")
    return text


def _time(text: str | None) -> str | None:
    try:
        _at_ms(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time; write it like 2026-11-23T08:00") from None
    return text


def _delay_ms(text: str | None) -> int:
    return 0 if text is None else duration_ms(text)


def _at_ms(text: str | None) -> int:
    if text is None:
        return 0
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.astimezone()).timestamp() * 1000)


@app.command()
@connected
def send(
    client: SyncClient,
    name: Annotated[str, typer.Argument(help="The event's name, such as shop/order.placed.")],
    data: Annotated[str, typer.Argument(help="Its data as JSON, or @file, or - for stdin.")] = "{}",
    *,
    id: Annotated[str, typer.Option("--id", help="Sending the same id again within a day changes nothing.")] = "",
    key: Annotated[str, typer.Option("--key", help="The event's key.")] = "",
    delay: Annotated[
        str | None, typer.Option("--delay", callback=_duration, help="Let it come in after so long, such as 10m or 2d.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", callback=_time, help="Let it come in then: 2026-11-23T08:00.")
    ] = None,
    quiet: Quiet = False,
    output: Output = Format.TABLE,
) -> None:
    """Send an event; it is stored when this returns. Prints the runs that it started."""
    event = Event(name, read_json(data), id=id, key=key, at_ms=_at_ms(at), delay_ms=_delay_ms(delay))
    [sent] = client.send(event)
    runs = [run.id for run in sent.runs]
    if not runs and not quiet:
        later = "it comes in later" if sent.due_at_ms else _nobody_starts(client, name)
        note(f"note: stored, but {later}", quiet=quiet)
    match output:
        case Format.ID:
            write_rows([{"id": run} for run in runs], output, ())
        case Format.TABLE:
            write_rows([{"event": sent.id, "run": run} for run in runs or [""]], output, ("event", "run"))
        case _:
            write_rows([{"id": sent.id, "runs": runs}], output, ())


def _nobody_starts(client: SyncClient, name: str) -> str:
    found = f"no function that the engine knows starts at {name!r}"
    known = {trigger for function in client.list_functions() for trigger in function.triggers}
    close = get_close_matches(name, known, n=1)
    return f"{found}; did you mean {close[0]}?" if close else found


def read_json(text: str) -> Any:
    """Return the JSON that an argument holds or names: text, `@file` or `-`. Raises `CommandError`."""
    source, content = _content(text)
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except ValueError as error:
        raise CommandError("E0506", f"the data is not JSON: {error}", where=source, advice=_QUOTING) from None
    except RecursionError:
        raise CommandError("E0506", "the data is nested too deeply", where=source) from None


def _refuse_constant(name: str) -> None:
    """Python reads NaN and Infinity, which no other reader takes and which would arrive as null."""
    raise ValueError(f"{name} is no JSON value")


_QUOTING = 'quote it for the shell, as in \'{"id": "o1"}\', or use @file'


def _content(text: str) -> tuple[str, str]:
    if text != "-" and not text.startswith("@"):
        return "", text
    source = "stdin" if text == "-" else text[1:]
    try:
        data = sys.stdin.buffer.read() if text == "-" else Path(source).read_bytes()
    except OSError as error:
        raise CommandError("E0507", f"{source!r} cannot be read: {error.strerror or error}") from None
    try:
        return source, data.decode()
    except UnicodeDecodeError as error:
        raise CommandError(
            "E0507", f"{source!r} is not UTF-8: byte {error.start} is {data[error.start]:#04x}"
        ) from None

"""Options that several commands share. An option goes before its environment variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onward_cli.logs import LogFormat
from onward_cli.output import Format

if TYPE_CHECKING:
    from onward import SyncClient
    from onward.settings import Settings

# The App may name the engine too, and goes before the environment: so the SDK reads these two variables, not typer.
Url = Annotated[
    str | None, typer.Option("--url", help="Where the engine is [env var: ONWARD_URL; default: http://127.0.0.1:8484].")
]
TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", help="File with the token, read at every connect [env var: ONWARD_TOKEN_FILE]."),
]
# The SDK reads this variable too: an embedded worker is deployed like any other.
CheckpointText = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        help="When finished steps are stored: safe, pipelined, blended, performant, off, or values such as "
        "buffered_steps=3,max_interval=3s,max_runtime=5m. Replaces what an App is set to, not what a function is "
        "[env var: ONWARD_CHECKPOINT].",
    ),
]
BusyPoll = Annotated[
    bool | None,
    typer.Option(
        "--busy-poll/--no-busy-poll",
        envvar="ONWARD_BUSY_POLL",
        help="Stay awake while a lone run's step is on its way: faster, for a processor meanwhile. "
        "Default: where there are two.",
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", envvar="ONWARD_INSECURE", help="Allow http:// to another machine, unencrypted.")
]
RunDir = Annotated[
    str,
    typer.Option(
        "--run-dir", envvar="ONWARD_RUN_DIR", help="Directory of the heartbeat, one for each worker; none without it."
    ),
]
LogFormatOption = Annotated[
    LogFormat, typer.Option("--log-format", envvar="ONWARD_LOG_FORMAT", help="How log lines are written to stderr.")
]
Output = Annotated[Format, typer.Option("--output", "-o", envvar="ONWARD_OUTPUT", help="How data is written.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but what was asked for, and errors.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it; without this they are only counted.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", envvar="ONWARD_VERBOSE", help="Show tracebacks and debug messages.")
]


def settings_of(url: str | None, token_file: str | None, **way: str | None) -> Settings:
    """Return where the engine is and who we are, from the options and the environment; `way` are options about how it
    is reached.
    """
    from onward.settings import Settings

    return Settings.read(url=url).changed(token_file=token_file, **way)


def client_of(url: str | None, token_file: str | None, *, insecure: bool, **way: str | None) -> SyncClient:
    """Return a client of the engine that the options name."""
    from onward import SyncClient
    from onward.address import check_privacy

    settings = settings_of(url, token_file, **way)
    check_privacy(settings.url, insecure=insecure, way=settings.way)
    return SyncClient(settings=settings)

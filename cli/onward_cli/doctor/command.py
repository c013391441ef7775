"""`worker doctor`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from onward_cli.errors import guarded
from onward_cli.options import Insecure, TokenFile, Url, Verbose, settings_of
from onward_cli.reaching import CaFile, ClientCert, ClientKey, Proxy

if TYPE_CHECKING:
    from onward_cli.doctor.verdict import Verdict

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@guarded
def doctor(
    *,
    url: Url = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    idle: Annotated[
        str, typer.Option("--idle", metavar="DURATION", help="Hold a connection so long, with a worker's beats only.")
    ] = "0s",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, at the end.")] = False,
    verbose: Verbose = False,
) -> None:
    """Find out why a worker does not reach its engine. Run it where the worker runs, with its options.

    It goes the way that a worker goes, step by step: the settings, the proxy, DNS, TCP, the tunnel, TLS, the WebSocket,
    the token, the protocol; then the clocks, the time that a beat takes, and with --idle whether connections last. The
    status is 0, or that of the first step that fails.
    """
    del verbose
    from onward.config import option_ms

    from onward_cli.doctor.printing import print_json, print_verdict
    from onward_cli.doctor.verdict import exit_of

    said = {
        "url": url,
        "token_file": token_file,
        "proxy": proxy,
        "ca_file": ca_file,
        "client_cert": client_cert,
        "client_key": client_key,
    }
    idle_s = option_ms("worker doctor", "--idle", idle) / 1000
    tell = _keep_quiet if as_json else print_verdict
    verdicts = asyncio.run(_examined(said, insecure=insecure, idle_s=idle_s, tell=tell))
    if as_json:
        print_json(verdicts)
    sys.exit(exit_of(verdicts))


async def _examined(
    said: Mapping[str, str | None], *, insecure: bool, idle_s: float, tell: Callable[[Verdict], None]
) -> list[Verdict]:
    from onward.errors import ConfigError

    from onward_cli.doctor.examination import examine
    from onward_cli.doctor.judges.settings import judge_settings
    from onward_cli.doctor.sources import sources_of

    sources = sources_of(said, os.environ)
    try:
        settings = settings_of(**said)
    except ConfigError as wrong:
        verdict = judge_settings(sources, wrong)
        tell(verdict)
        return [verdict]
    return await examine(settings, sources, insecure=insecure, idle_s=idle_s, tell=tell)


def _keep_quiet(_verdict: Verdict) -> None:
    """JSON is printed as a whole, at the end."""

"""Options of `worker engine start` about TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Cert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        envvar="ONWARD_TLS_CERT",
        metavar="FILE",
        help="The engine's certificate, with those between it and the root. Then it is reached by https:// only. Read "
        "again when it has changed.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--tls-key", envvar="ONWARD_TLS_KEY", metavar="FILE", help="Its key, if that is not in the same file."
    ),
]
ClientCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-ca",
        envvar="ONWARD_TLS_CLIENT_CA",
        metavar="FILE",
        help="Whoever connects has to show a certificate of one of these: workers, clients and probes.",
    ),
]

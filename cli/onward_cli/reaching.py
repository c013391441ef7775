"""Options about the way to the engine: through which proxy, with which certificates. The SDK reads their variables, so
that programs of one's own go the same way.
"""

from __future__ import annotations

from typing import Annotated

import typer

Proxy = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        metavar="URL",
        help="The proxy to the engine, http://, https:// or socks5h://user:password@host:port; 'direct' for none "
        "[env var: ONWARD_PROXY; default: what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say].",
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="The certificates to trust instead of the system's, read at every connect [env var: ONWARD_CA_FILE].",
    ),
]
ClientCert = Annotated[
    str | None,
    typer.Option(
        "--client-cert",
        metavar="FILE",
        help="The certificate to show the engine, read at every connect [env var: ONWARD_CLIENT_CERT].",
    ),
]
ClientKey = Annotated[
    str | None,
    typer.Option(
        "--client-key",
        metavar="FILE",
        help="Its key; may be in the same file [env var: ONWARD_CLIENT_KEY].",
    ),
]

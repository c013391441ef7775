"""Where the settings come from that lead to the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onward.settings import URL_DEFAULT

from onward_cli.config import origin_of
from onward_cli.configuring import shown
from onward_cli.doctor.evidence import Source

FILES = ("token_file", "ca_file", "client_cert", "client_key")


def sources_of(options: Mapping[str, str | None], environ: Mapping[str, str]) -> list[Source]:
    """Return what an option or the environment says about the way to the engine. Secrets are not in it."""
    found = [_source(name, options.get(name), environ) for name in ("url", "proxy", *FILES)]
    url = found[0] or Source(name="url", value=URL_DEFAULT, origin="default")
    return [url, *_token(options, environ), *(one for one in found[1:] if one and one.name != "token_file")]


def _token(options: Mapping[str, str | None], environ: Mapping[str, str]) -> Iterator[Source]:
    """A file that an option names goes before the token of the environment, and that before its file."""
    if not options.get("token_file") and environ.get("ONWARD_TOKEN"):
        yield Source(name="token", value="***", origin="ONWARD_TOKEN")
    elif named := _source("token_file", options.get("token_file"), environ):
        yield named


def _source(name: str, option: str | None, environ: Mapping[str, str]) -> Source | None:
    variable = f"ONWARD_{name.upper()}"
    if option:
        return Source(name=name, value=shown(name, option), origin=f"--{name.replace('_', '-')}")
    if not environ.get(variable):
        return None
    return Source(name=name, value=shown(name, environ[variable]), origin=origin_of(variable, environ))

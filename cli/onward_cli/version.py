"""`worker version`."""

from __future__ import annotations

import platform

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def version() -> None:
    """Print the versions of Onward, its protocol and Python."""
    from importlib.metadata import version as installed

    from onward_protocol.limits import VERSIONS

    python = f"Python {platform.python_version()} on {platform.system()}"
    print(f"onward {installed('onward')}, protocol {VERSIONS[1]}, {python}")

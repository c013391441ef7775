import subprocess
import sys

import onward

HEAVY = (
    "websockets",
    "structlog",
    "typer",
    "pydantic",
    "http.client",
    "uvloop",
    "starlette",
    "urllib.request",
    "sqlite3",
    "onward_engine",
    "cryptography",
    "opentelemetry",
)


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    code = f"import onward, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_exists() -> None:
    assert [name for name in onward.__all__ if not hasattr(onward, name)] == []

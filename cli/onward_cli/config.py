"""Settings of a folder: `onward.toml`, or `[tool.onward]` in `pyproject.toml`, where a command is started.

Each setting is an environment variable that some command or the SDK reads. A file says what those variables are where
nobody has set them: so an option goes before the environment, the environment before the file, and the file before what
is built in, for every command alike, and for the processes that it starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, cast

from onward_cli.errors import CommandError

PREFIX: Final = "ONWARD_"
FILE: Final = "onward.toml"
PROJECT: Final = "pyproject.toml"
_TABLE: Final = "[tool.onward]"
_BYTES_MAX: Final = 1024 * 1024

SETTINGS: Final = (
    *("url", "token_file", "insecure", "proxy", "ca_file", "client_cert", "client_key"),
    *("checkpoint", "compression", "output", "verbose", "log_format"),
    *("concurrency", "drain_timeout", "park_ttl", "label", "max_connection_age", "stall_limit", "supervise", "run_dir"),
    *("busy_poll", "processes", "max_memory", "burst", "burst_idle", "max_runtime", "reload"),
    *("db", "admin_token_file", "host", "port", "public_url", "retention", "tls_cert", "tls_key", "tls_client_ca"),
)
"""What a file may set, as it says it; `-` is as good as `_`. The variable is `ONWARD_` and the same in capitals."""


class Found(NamedTuple):
    """The settings of a file: its name, and values by variable."""

    file: str
    values: Mapping[str, str]


def variable_of(setting: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + setting.upper()


def apply(environ: MutableMapping[str, str] = os.environ, folder: str = ".") -> None:
    """Take the settings of a folder for those that the environment does not say. Raises `CommandError`."""
    if found := read(folder):
        for variable, value in found.values.items():
            environ.setdefault(variable, value)


def read(folder: str = ".") -> Found | None:
    """Return the settings of a folder, None if it has none. Raises `CommandError` that names the file and the key."""
    own, project = _text(folder, FILE), _text(folder, PROJECT)
    in_project = None if project is None or "tool.onward" not in project else _table(PROJECT, project)
    if own is not None and in_project is not None:
        raise _wrong(FILE, f"there are settings in {_TABLE} of {PROJECT} too", "keep one of the two")
    if own is not None:
        return Found(FILE, _values(FILE, _parsed(FILE, own)))
    return None if in_project is None else Found(f"{_TABLE} of {PROJECT}", _values(PROJECT, in_project))


def origin_of(variable: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return where the value of a variable comes from: the file's name, or its own. A process that was started by
    another has the file's values in its environment, so they are compared.
    """
    found = read()
    is_from_file = found is not None and found.values.get(variable) == environ.get(variable)
    return found.file if found is not None and is_from_file else variable


def _text(folder: str, name: str) -> str | None:
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read(_BYTES_MAX).decode("utf-8-sig")  # editors of Windows begin with a mark
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        if name == PROJECT:
            return None  # not ours; whoever needs it will say so
        raise _wrong(name, f"it cannot be read: {error}", "make it a text file that this process may read") from None


def _table(name: str, text: str) -> dict[str, Any] | None:
    found: Any = _parsed(name, text).get("tool", {}).get("onward")
    if found is not None and not isinstance(found, dict):
        raise _wrong(name, "'tool.onward' is no table", f"write {_TABLE}")
    return cast("dict[str, Any] | None", found)


def _parsed(name: str, text: str) -> dict[str, Any]:
    import tomllib  # 10 ms that most commands need not spend

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(
            name, f"it is not TOML: {error}", "mend that line; https://toml.io shows how it is written"
        ) from None


def _values(name: str, table: Mapping[str, Any]) -> dict[str, str]:
    return {variable_of(_checked_key(name, key)): _value(name, key, value) for key, value in table.items()}


def _checked_key(name: str, key: str) -> str:
    setting = key.replace("-", "_")
    if setting == "token":
        advice = "name a file that has it: token_file; or set ONWARD_TOKEN"
        raise _wrong(name, "a token is a secret, and does not belong into a file that others read", advice)
    if setting not in SETTINGS:
        close = get_close_matches(setting, SETTINGS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else "list those that there are: worker config show"
        raise _wrong(name, f"there is no setting {key!r}", advice)
    return setting


def _value(name: str, key: str, value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float() if "\0" not in str(value):
            return str(value)
        case list() if all(_is_word(one) for one in cast("list[object]", value)):
            return " ".join(cast("list[str]", value))
        case _:
            advice = "write text, a number, true or false, or a list of words without spaces"
            raise _wrong(name, f"the setting {key!r} has a value that no setting has", advice)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value != "" and not set(value) & set(" \t\n\0")


def _wrong(name: str, what: str, advice: str) -> CommandError:
    return CommandError("E0514", f"{name}: {what}", where=os.path.abspath(name), advice=advice)

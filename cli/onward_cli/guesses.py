"""What somebody probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from onward_cli.errors import CommandError, explain

if TYPE_CHECKING:
    from onward import SyncClient
    from onward.errors import EngineRefused


def with_guess(client: SyncClient, error: EngineRefused, named: str) -> CommandError:
    """Return an error about something that does not exist, with the name of what does."""
    known = explain(error)
    if named and (guess := _guess(client, error.code, named)):
        known.advice = f"did you mean {guess}?"
    return known


def _guess(client: SyncClient, code: str, named: str) -> str | None:
    match code:
        case "unknown_function":
            ids = [one.id for one in client.list_functions()]
            names = {id.partition("/")[2]: id for id in ids}
            close = get_close_matches(named, [*ids, *names], n=1)
            return names.get(close[0], close[0]) if close else None
        case "unknown_run":
            found = client.list_runs(id=named[: max(len(named) - 4, 12)], limit=2).runs
            return found[0].id if len(found) == 1 else None
        case _:
            return None

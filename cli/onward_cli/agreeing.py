"""What changes many runs counts them first: nothing is changed unless somebody has said yes to the number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onward_cli.errors import CommandError
from onward_cli.output import Format, countable, write_one

if TYPE_CHECKING:
    from onward.calls import BulkResult
    from onward.lists import RunsWanted


def check_said(wanted: RunsWanted) -> None:
    """Raise `CommandError` if nothing says which runs are meant."""
    if not wanted:
        raise CommandError(
            "E0508", "say which runs", advice="name one, or give an option such as --status failed or --since 1d"
        )


def tell(what: str, found: BulkResult, *, is_agreed: bool, output: Format) -> None:
    """Write how many runs were meant, and some of them. Raises `CommandError` if nobody has agreed."""
    write_one({"runs": found.count, "sample": list(found.sample), "done": is_agreed}, countable(output))
    check_agreed(what, found.count, is_agreed=is_agreed)


def check_agreed(what: str, count: int, *, is_agreed: bool) -> None:
    """Raise `CommandError` if there is something to do that nobody has agreed to."""
    if count and not is_agreed:
        raise CommandError(
            "E0510",
            f"this would {what} {count} runs; nothing is changed yet",
            advice="give the same command with --yes",
        )

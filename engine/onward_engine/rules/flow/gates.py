"""What becomes of an event that would start a run: it is skipped, or goes on."""

from __future__ import annotations

from msgspec import Struct
from onward_protocol.messages import RateRule


class Skipped(Struct, frozen=True):
    """The event's run does not begin."""

    reason: str


class Passed(Struct, frozen=True):
    """The event goes on; the run that it `replaces` is cancelled for it."""

    replaces: str = ""


Verdict = Skipped | Passed

REPLACED = "a newer run of its key has come"
"""Why a run is cancelled by a newer one."""


def occupied(run: str) -> str:
    """Return why a run is skipped beside one that is not over; its name is empty if that is not known."""
    return f"option 'singleton': {f'run {run}' if run else 'another run'} of its key is not over"


def surplus(rule: RateRule, limit: int) -> str:
    """Return why a run is skipped that would be one too many."""
    return f"option 'rate_limit': {limit} in {rule.period_ms / 1000:g} s have started already"

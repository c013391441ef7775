"""What the catalogue says of one error."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """What an error means, and what usually causes it. `action` is what to do about it; where the SDK or the list of
    the engine's refusals says so already, it is said there only.
    """

    meaning: str
    cause: str
    action: str = ""

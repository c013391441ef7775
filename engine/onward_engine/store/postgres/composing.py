"""One statement made of several."""

from __future__ import annotations

import re
from functools import cache

_PARAMETER = re.compile(r"\$(\d+)")


@cache
def shifted(text: str, by: int) -> tuple[str, int]:
    """Return a statement whose parameters are numbered from `by` on, and how many it has."""
    count = max((int(number) for number in _PARAMETER.findall(text)), default=0)
    return _PARAMETER.sub(lambda match: f"${int(match[1]) + by}", text), count

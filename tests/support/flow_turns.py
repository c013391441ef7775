"""What can only be told over time: whether tenants take turns, and whether a burst was over when its run began."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from onward_protocol.messages import DebounceRule

AHEAD_MAX = 3
"""So many turns may one tenant have while another one waits: that one may have come just behind the first, and been
offered its place behind the second.
"""


@dataclass
class Turns:
    """The tenants of a function, or of those of its runs that are under the same limits."""

    ahead: Counter[tuple[Hashable, Hashable]] = field(default_factory=Counter[tuple[Hashable, Hashable]])

    def begin(self, tenant: Hashable, waiting: Iterable[Hashable]) -> list[str]:
        """Note that a run of a tenant begins while others wait; return who has waited too long."""
        others = set(waiting) - {tenant}
        pairs = {(tenant, other): self.ahead[tenant, other] + 1 for other in others}
        kept = {pair: count for pair, count in self.ahead.items() if tenant not in pair and pair[1] in others}
        self.ahead = Counter({**kept, **pairs})
        return [
            f"{one} had {count} turns while {two} waited" for (one, two), count in pairs.items() if count > AHEAD_MAX
        ]


@dataclass
class Burst:
    """The events of one value of a debounce's key: since when, and until when its run waits for more of them."""

    run: str
    rule: DebounceRule
    since_ms: int
    until_ms: int = 0

    def __post_init__(self) -> None:
        """Wait for the second event."""
        self.extend(self.since_ms)

    def extend(self, at_ms: int) -> None:
        """Wait for one more."""
        quiet_ms = at_ms + self.rule.period_ms
        timeout_ms = self.rule.timeout_ms
        self.until_ms = quiet_ms if timeout_ms is None else min(quiet_ms, self.since_ms + timeout_ms)

"""Which functions an event starts, found by its name without looking at every function."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from onward_protocol.messages import AppManifest, FunctionManifest


class Catalog:
    """All registered functions, indexed by id and by what triggers them.

    `functions` is keyed by id; `starts(name)` is what an event of that name starts, each function once, ordered by id.
    """

    def __init__(self, apps: Iterable[AppManifest] = ()) -> None:
        """Build the index. It costs a pass over all functions, so keep it until a manifest changes."""
        self.functions: dict[str, FunctionManifest] = {}
        self._exact: dict[str, set[str]] = defaultdict(set)
        self._prefixes: dict[str, set[str]] = defaultdict(set)
        for app in apps:
            for function in app.functions:
                self._add(function)
        self._prefix_sizes = sorted({len(prefix) for prefix in self._prefixes})

    def starts(self, event: str) -> list[FunctionManifest]:
        """Return the functions that an event of this name starts."""
        found = set(self._exact.get(event, ()))
        for size in self._prefix_sizes:
            found |= self._prefixes.get(event[:size], set())
        return [self.functions[function] for function in sorted(found)]

    def _add(self, function: FunctionManifest) -> None:
        self.functions[function.id] = function
        for trigger in function.triggers:
            if trigger.event.endswith("*"):
                self._prefixes[trigger.event[:-1]].add(function.id)
            else:
                self._exact[trigger.event].add(function.id)

"""What step bodies really did, written down by the bodies themselves: a witness that the product cannot influence."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field


def now_ms() -> int:
    """Return the simulation's time of day."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Execution:
    """One execution of a step's body. `builds_on` are the values that its caller knew."""

    run: str
    step: str
    epoch: int
    worker: str
    builds_on: tuple[str, ...]
    nap_ms: int = 0
    is_barrier: bool = False
    chars: int = 0
    number: int = 0
    began_at_ms: int = 0
    ended_at_ms: int | None = None
    is_raised: bool = False
    complaints: list[str] = field(default_factory=list[str])

    @property
    def value(self) -> str:
        """What this execution returns: no other one returns the same."""
        return f"{self.step}#{self.number:>{self.chars}}"


class Ledger:
    """All executions in the order in which they began. `inspect` looks at each when it begins."""

    def __init__(self, inspect: Callable[[Execution], None]) -> None:
        self.executions: list[Execution] = []
        self.by_step: defaultdict[tuple[str, str], list[Execution]] = defaultdict(list)
        self.by_number: dict[int, Execution] = {}
        self.failures: Counter[tuple[str, str]] = Counter()
        self.is_closed = False
        self._inspect = inspect

    def begin(self, execution: Execution) -> None:
        """Note that a body begins."""
        execution.number, execution.began_at_ms = len(self.executions) + 1, now_ms()
        if not self.is_closed:
            self._inspect(execution)
            self.add(execution)

    def add(self, execution: Execution) -> None:
        """Note what somebody else has numbered."""
        self.executions.append(execution)
        self.by_step[execution.run, execution.step].append(execution)
        self.by_number[execution.number] = execution

    def end(self, execution: Execution, *, failures: int) -> bool:
        """Note that a body ends; return whether it is to fail: a step does so `failures` times."""
        execution.ended_at_ms = now_ms()
        step = (execution.run, execution.step)
        execution.is_raised = self.failures[step] < failures
        self.failures[step] += execution.is_raised
        return execution.is_raised

    def running(self, worker: str) -> list[Execution]:
        """Return what a worker executes now."""
        return [one for one in self.executions if one.worker == worker and one.ended_at_ms is None]

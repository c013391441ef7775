"""Busy polling: the event loop stays awake for an answer that is about to come.

A process that sleeps until its bytes arrive has to be woken, and its core too. On a virtual machine that takes longer
than to use the answer: of the 530 µs of a lone strict step 160 were spent on waking up, at both ends. So whoever has
nothing to do but to wait for one peer keeps the loop turning instead, which costs a core for the time of the wait.

It does so only while answers are quick, which is counted whether it stays awake or not: an answer that is late costs as
much credit as eight quick ones earn, and without credit it sleeps as everybody does. The kernel does the same for
sockets (net.core.busy_read) and for virtual machines (haltpoll), where somebody has set it up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CREDIT_MAX: Final = 64
PRICE: Final = 8
"""Credit for staying awake, and what a late answer costs: one in nine may be late, as on a disk with hiccups."""


class BusyPoll:
    """What one end of a conversation expects. `clock_us` is any monotonic clock, `call_soon` that of the loop.

    An answer that comes within `longest_us` is quick; for a later one nobody stays awake to the end.
    """

    __slots__ = ("_call_soon", "_clock_us", "_credit", "_is_turning", "_longest_us", "_since_us", "_who")

    def __init__(
        self, longest_us: int, *, clock_us: Callable[[], int], call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._longest_us = longest_us
        self._clock_us = clock_us
        self._call_soon = call_soon
        self._credit = 0
        self._who = ""
        self._since_us: int | None = None
        self._is_turning = False

    def expect(self, who: str = "") -> None:
        """An answer about `who`, such as a run, is all that there is to wait for; of several the first one counts.
        Somebody else begins without credit: between several that take turns, the next message may be about anybody.
        """
        if who != self._who:
            self._who, self._credit, self._since_us = who, 0, None
        if self._since_us is None:
            self._since_us = self._clock_us()
        if self._credit >= PRICE and not self._is_turning:
            self._is_turning = True
            self._call_soon(self._turn)

    def met(self) -> None:
        """Something came, whatever it is: now there is something to do."""
        if self._since_us is None:
            return
        is_quick = self._clock_us() - self._since_us <= self._longest_us
        self._credit = min(self._credit + 1, CREDIT_MAX) if is_quick else max(self._credit - PRICE, 0)
        self._since_us = None

    def _turn(self) -> None:
        """One turn of the loop, which looks at its sockets without sleeping."""
        self._is_turning = (
            self._since_us is not None
            and self._credit >= PRICE
            and self._clock_us() - self._since_us < self._longest_us
        )
        if self._is_turning:
            self._call_soon(self._turn)

"""When a worker may start a step: only while it can be sure that nobody else was given its runs."""

from __future__ import annotations

from onward_protocol.limits import Times


class Lease:
    """The right to start steps, held by one worker over all of its connections.

    It runs out when no beat was answered for `lease_ms`, counted from the moment at which the beat was sent, and when
    the socket has been gone for three quarters of the grace: both end before the engine may give the runs away. Steps
    that run already go on.

    A process that stood still hears late that its socket is gone, and may do other things before. So its owner says
    whenever it does something that the socket was `seen`; after a break it `is_unsure`, and looks at the socket first.
    What is found to be lost then has been so since the last time, as far as anybody knows.
    """

    __slots__ = ("_generation", "_lost_at_ms", "_seen_at_ms", "_sent_at_ms", "_times")

    def __init__(self) -> None:
        self._times = Times()
        self._generation = -1
        self._sent_at_ms: int | None = None
        self._lost_at_ms: int | None = None
        self._seen_at_ms = 0

    def opened(self, generation: int, sent_at_ms: int, times: Times) -> None:
        """Note a Welcome. It answers the Hello that was sent at `sent_at_ms`, as a BeatAck answers a beat."""
        self._generation = generation
        self._times = times
        self._lost_at_ms = None
        self._sent_at_ms = sent_at_ms
        self._seen_at_ms = sent_at_ms

    def renewed(self, generation: int, sent_at_ms: int) -> None:
        """Note a BeatAck for the beat that was sent at `sent_at_ms`. One from an older connection changes nothing."""
        if generation == self._generation and self._sent_at_ms is not None:
            self._sent_at_ms = max(self._sent_at_ms, sent_at_ms)

    def lost(self, generation: int, now_ms: int) -> None:
        """Note that a socket is gone. Repeating it, or the end of an older connection, changes nothing."""
        if generation == self._generation and self._lost_at_ms is None:
            self._lost_at_ms = self._seen_at_ms if self.is_unsure(now_ms) else now_ms

    def seen(self, now_ms: int) -> None:
        """Note that the socket is there."""
        self._seen_at_ms = max(self._seen_at_ms, now_ms)

    def is_unsure(self, now_ms: int) -> bool:
        """Tell whether this process may have stood still, so that the socket may be gone without anybody having
        noticed. Three quarters of the grace and this time are less than the whole.
        """
        return now_ms - self._seen_at_ms > self._times.grace_ms // 10

    @property
    def until_ms(self) -> int | None:
        """The moment from which no step may start, as far as is known now; None: none may."""
        if self._sent_at_ms is None:
            return None
        until_ms = self._sent_at_ms + self._times.lease_ms
        if self._lost_at_ms is None:
            return until_ms
        return min(until_ms, self._lost_at_ms + self._times.grace_ms * 3 // 4)

    def may_start(self, now_ms: int) -> bool:
        """Tell whether a step may start now."""
        until_ms = self.until_ms
        return until_ms is not None and now_ms < until_ms

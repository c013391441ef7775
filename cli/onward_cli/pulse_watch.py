"""Shows a worker to its supervisor, on the page that they share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from onward_cli.pulse import ABOUT_BYTES_MAX, NOW_BYTES_MAX, THREADS_BYTES_MAX, Pulse, patience_ms
from onward_cli.witness import Witness

if TYPE_CHECKING:
    from onward.watch import Identity


class PulseWatch:
    """Shows a worker to its supervisor. Implements `Watch`.

    `introduction` makes what the supervisor needs of the worker's identity.
    """

    def __init__(self, pulse: Pulse, introduction: Callable[[Identity], bytes]) -> None:
        self._pulse = pulse
        self._introduction = introduction
        self._witness = Witness(pulse)
        self._patience_ms: int | None = None
        self._threads: list[bytes] = []
        self._lock = Lock()
        pulse.forget_stack()

    def tick(self) -> None:
        """See `Watch`."""
        is_late = self._patience_ms is not None and self._pulse.age_ms >= self._patience_ms
        self._pulse.tick()
        if is_late:
            self._pulse.forget_stack()  # that of a pause too short to be told of would stand before the next one

    def met(self, identity: Identity) -> None:
        """See `Watch`."""
        about = self._introduction(identity)
        if len(about) <= ABOUT_BYTES_MAX:
            self._pulse.tick()
            self._pulse.introduce(about)
            self._patience_ms = patience_ms(identity.beat_ms) * 4 // 5
            self._witness.watch(self._patience_ms)

    def left(self) -> None:
        """See `Watch`."""
        self._witness.leave()
        self._pulse.leave()

    def runs_now(self, name: bytes) -> None:
        """See `Watch`."""
        self._pulse.runs_now(name[:NOW_BYTES_MAX])

    def thread_began(self, name: bytes) -> None:
        """See `Watch`."""
        with self._lock:
            self._threads.append(name)
            self._show_threads()

    def thread_ended(self, name: bytes) -> None:
        """See `Watch`."""
        with self._lock:
            self._threads.remove(name)
            self._show_threads()

    def _show_threads(self) -> None:
        self._pulse.threads_run(b"\0".join(self._threads[-8:])[:THREADS_BYTES_MAX])

"""What a residence needs of the worker that it lives in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from onward_protocol.messages import WorkerFrame

if TYPE_CHECKING:
    from onward.host import StepCall
    from onward.replay.turn import Cancellable
    from onward.run.residence import Residence


class Landlord(Protocol):
    """The worker, seen from a run."""

    loop: asyncio.AbstractEventLoop
    state: Any
    context: Context
    """A context that belongs to no run; runs begin with copies of it."""
    step_threads: ThreadPoolExecutor
    output_bytes_max: int
    patience_ms: int
    is_strict: bool

    def send(self, frame: WorkerFrame, /) -> None: ...
    def may_start(self) -> bool: ...
    def callback_url(self) -> str:
        """Where the engine is for whoever answers a callback."""
        ...

    def clock_ms(self) -> int: ...
    def wall_ms(self) -> int: ...
    def later(self, delay_s: float, callback: Callable[..., object], /, *args: Any) -> Cancellable:
        """Call back after so long, for the timers of runs and the pauses between attempts."""
        ...

    def body_of(self, run: str, key: str, call: StepCall, /) -> Callable[..., Any]:
        """What an attempt of this step calls."""
        ...

    def parked(self, residence: Residence) -> None:
        """The run needs no slot now."""
        ...

    def rested(self, residence: Residence) -> None:
        """The run does nothing more by itself for now."""
        ...

    def take_slot(self, residence: Residence) -> bool:
        """A parked run moves. Returns whether it has a slot; if not, `unpark` follows when one is free."""
        ...

    def ended(self, residence: Residence) -> None:
        """The run's last frame was sent, or none will be; its code may still be unwinding."""
        ...

    def gone(self, residence: Residence) -> None:
        """No code of the run is left: its slot is free."""
        ...

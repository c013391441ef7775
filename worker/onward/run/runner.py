"""All runs of one worker: slots, assignments, wake-ups, acknowledgements, fences, and the way out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, Final, Literal

from onward_protocol.busy_poll import BusyPoll
from onward_protocol.errors import ProtocolError
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Ack,
    Assign,
    Cancel,
    CancelRequested,
    Fence,
    Halt,
    Held,
    Return,
    RunRef,
    Wake,
    WorkerFrame,
)

from onward import host as hosts
from onward.attempt import present
from onward.checkpoint import Checkpoint
from onward.function import Function
from onward.host import StepCall
from onward.replay import hooks
from onward.replay.lineage import BRANCH, SCOPE
from onward.replay.turn import Later
from onward.run.parking import Parking
from onward.run.residence import Residence

PARK_TTL_MS: Final = 600_000
PATIENCE_MS: Final = 1_000
RESIDENT_MAX: Final = 1_000
"""At least so many parked runs stay in memory: a coroutine costs a few KiB, a replay a round trip and CPU."""
STEP_THREADS_MIN: Final = 32

log: Final = logging.getLogger("onward.runner")

BodyOf = Callable[[str, str, StepCall], Callable[..., Any]]
"""Given run, key and call of a step: what to call."""


CheckpointOf = Callable[[Function[Any, Any]], Checkpoint]
"""Given a function: when its finished steps are made durable in this worker."""


def own_checkpoint(function: Function[Any, Any]) -> Checkpoint:
    """Return what the function or its App is set to."""
    return function.checkpoint


def own_body(_run: str, _key: str, call: StepCall) -> Callable[..., Any]:
    """Return the step's own function."""
    return call.fn


class Runner:
    """All residences of one worker. Everything is called on the event loop that it is made on.

    `send` never blocks and never raises; while the worker is disconnected it drops, and `resend` repeats what was not
    acknowledged. `may_start` says whether a step's body may start now: not without a lease. `accepted` counts the slots
    that assignments and wake-ups took since `new_connection`.
    """

    def __init__(
        self,
        functions: Mapping[str, Function[Any, Any]],
        *,
        send: Callable[[WorkerFrame], None],
        slots: int,
        may_start: Callable[[], bool],
        clock_ms: Callable[[], int],
        wall_ms: Callable[[], int],
        state: Any = None,
        park_ttl_ms: int = PARK_TTL_MS,
        resident_max: int | None = None,
        resident_threads: int | None = None,
        patience_ms: int = PATIENCE_MS,
        output_bytes_max: int = Limits().output_bytes_max,
        strict: bool = False,
        later: Later | None = None,
        body_of: BodyOf = own_body,
        checkpoint_of: CheckpointOf = own_checkpoint,
        callback_url: Callable[[], str] = str,
        busy_poll: BusyPoll | None = None,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.send = send
        self.may_start = may_start
        self.clock_ms = clock_ms
        self.wall_ms = wall_ms
        self.state = state
        self.context: Context = _context_of_no_run()
        self.patience_ms = patience_ms
        self.output_bytes_max = output_bytes_max
        self.is_strict = strict
        self.later: Later = later or self.loop.call_later
        self.body_of = body_of
        self.callback_url = callback_url
        self._checkpoint_of = checkpoint_of
        self._busy_poll = busy_poll
        self.step_threads: ThreadPoolExecutor = ThreadPoolExecutor(
            max(STEP_THREADS_MIN, 4 * slots), thread_name_prefix="step"
        )
        self.accepted: int = 0
        self._functions = functions
        self._slots = slots
        self._runs: dict[str, Residence] = {}
        self._occupants: set[Residence] = set()
        self._leaving: set[Residence] = set()
        self._waiting: dict[Residence, None] = {}
        self._parking = Parking(
            resident_max=max(RESIDENT_MAX, 10 * slots) if resident_max is None else resident_max,
            threads_max=slots if resident_threads is None else resident_threads,
            ttl_ms=park_ttl_ms,
        )
        self._parking_check: asyncio.TimerHandle | None = None
        self._is_draining = False
        self._nothing_runs: asyncio.Future[None] | None = None
        self._idle_at_ms = clock_ms()
        hooks.install(self.loop)

    # -- for the daemon

    def is_at_rest(self, run: str, epoch: int, pos: int) -> bool:
        """Tell whether the run is here, has said everything, has heard of everything up to `pos`, and waits for time
        only: for tests that own the clock.
        """
        residence = self._runs.get(run)
        if residence is None or residence.assign.epoch != epoch or residence.course.known < pos:
            return False
        return residence.is_at_rest

    def executes_beside(self, run: str) -> bool:
        """Tell whether a step of another run executes here, or has a result that is not stored: for tests that choose
        when a worker dies.
        """
        others = (one.course for id, one in self._runs.items() if id != run)
        return any(course.bodies or not course.outbox.is_settled for course in others)

    def function_of(self, run: str) -> str:
        """Return the id of the function of a run that is here."""
        return self._runs[run].function.id if run in self._runs else ""

    @property
    def free(self) -> int:
        """How many slots are free now."""
        return max(0, self._slots - len(self._occupants))

    @property
    def in_flight(self) -> int:
        """How many runs occupy a slot."""
        return len(self._occupants)

    @property
    def idle_ms(self) -> int:
        """For how long no run has occupied a slot."""
        return 0 if self._occupants else self.clock_ms() - self._idle_at_ms

    def new_connection(self) -> None:
        """Count credit anew: it belongs to a connection."""
        self.accepted = 0

    def handle(self, frame: Assign | Wake | Cancel | Ack | Fence | Halt) -> None:
        """Act on a frame of the engine. Never blocks, and never raises for what a peer sent."""
        if self._busy_poll is not None:
            self._busy_poll.met()
        match frame:
            case Ack():
                self._acknowledged(frame)
            case Assign():
                self._assigned(frame)
            case Wake():
                self._woken(frame)
            case Cancel():
                self._cancelled(frame)
            case Fence():
                self._fenced(frame)
            case Halt():
                self._halted(frame)

    def held(self) -> tuple[Held, ...]:
        """Return what is in memory. A run that has ended stays here until its last frame is acknowledged."""
        return tuple(residence.held for residence in self._runs.values())

    def shown(self) -> tuple[Held, ...]:
        """Return the same as the engine can know it from what was said: this is what both ends compare."""
        return tuple(residence.shown for residence in self._runs.values())

    def introduce(self) -> tuple[Held, ...]:
        """Return what is in memory for a Hello."""
        return tuple(residence.introduce() for residence in self._runs.values())

    def resend(self) -> None:
        """Send every unacknowledged frame again, per run in the order of `seq`."""
        for residence in self._runs.values():
            residence.course.outbox.resend()

    def nudge(self) -> None:
        """`may_start` may have become true: start what it held back."""
        for residence in list(self._runs.values()):
            residence.course.settle()

    async def drain(self) -> None:
        """Let running bodies end, then hand every run back; returns when no code of any run is left."""
        self._is_draining = True
        for residence in list(self._runs.values()):
            self._send_away(residence)
        await self._until_nothing_runs()

    def unfinished(self) -> tuple[RunRef, ...]:
        """Return the runs that have not been ended or handed back."""
        live = [residence.assign for residence in self._runs.values() if residence.stage != "ended"]
        return tuple(RunRef(assign.run, assign.epoch) for assign in live)

    async def close(self) -> None:
        """Seal and end everything at once, without a frame. Threads that do not end within the patience stay behind."""
        self._is_draining = True
        for residence in list(self._runs.values()):
            self._drop(residence)
        if self._parking_check is not None:
            self._parking_check.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._until_nothing_runs(), 2 * self.patience_ms / 1000)
        self.step_threads.shutdown(wait=False, cancel_futures=True)

    async def _until_nothing_runs(self) -> None:
        if self._occupants or self._leaving:
            self._nothing_runs = self._nothing_runs or self.loop.create_future()
            await asyncio.shield(self._nothing_runs)

    # -- frames

    def _assigned(self, assign: Assign) -> None:
        old = self._runs.get(assign.run)
        if old is not None and old.assign.epoch >= assign.epoch:
            return
        reason = self._refusal(assign, old)
        if old is not None:
            self._drop(old)
        if reason is not None:
            self.send(Return(assign.run, assign.epoch, reason))
            return
        if old is not None:
            self._occupants.discard(old)
        self.accepted += 1
        function = self._functions[assign.function]
        residence = Residence(self, function, assign, self._checkpoint_of(function))
        self._runs[assign.run] = residence
        self._occupants.add(residence)
        self._start_ready(assign.run)

    def _refusal(self, assign: Assign, old: Residence | None) -> Literal["full", "draining", "unknown"] | None:
        if self._is_draining:
            return "draining"
        if assign.function not in self._functions:
            return "unknown"
        return None if self.free or old in self._occupants else "full"

    def _start_ready(self, run: str) -> None:
        """Start the newest residence of `run`, once no code of an older one is left."""
        residence = self._runs.get(run)
        if residence is None or residence.stage != "new":
            return
        if not any(left.assign.run == run for left in self._leaving):
            residence.start()

    def _woken(self, wake: Wake) -> None:
        residence = self._current(wake.run, wake.epoch)
        if residence is None:
            return
        if wake.slot and not self._wake_with_slot(residence):
            return
        residence.course.woken(wake.entries)

    def _wake_with_slot(self, residence: Residence) -> bool:
        """A run that does not need the slot gives it back at once: it counts as accepted, and no free slot is taken.

        One that finds no free slot leaves: whoever gets it now must be the only one who goes on with it.
        """
        if residence.stage != "parked":
            self.accepted += 1
            residence.take_up()
            return True
        if not self.free:
            self._evict(residence, "full")
            return False
        self.accepted += 1
        self._occupy(residence)
        residence.take_up()
        return True

    def _cancelled(self, cancel: Cancel) -> None:
        residence = self._current(cancel.run, cancel.epoch)
        if residence is not None:
            residence.course.woken([CancelRequested(cancel.pos, cancel.cleanup_ms, cancel.reason)])

    def _current(self, run: str, epoch: int) -> Residence | None:
        """Return the run in this epoch; the engine is told if it is not here (any more)."""
        residence = self._runs.get(run)
        if residence is not None and residence.assign.epoch == epoch:
            return residence if residence.stage != "ended" else None
        if residence is None or residence.assign.epoch < epoch:
            self.send(Return(run, epoch, "unknown"))
        return None

    def _acknowledged(self, ack: Ack) -> None:
        residence = self._runs.get(ack.run)
        if residence is None or residence.assign.epoch != ack.epoch:
            return
        try:
            residence.course.acknowledged(ack)
        except ProtocolError as error:
            log.warning("ignored an acknowledgement: %s", error)
        if residence.stage == "ended" and residence.course.outbox.is_settled:
            self._runs.pop(ack.run, None)
            self._forget(residence)
        elif residence.stage == "parked":
            self._trim_parking()

    def _fenced(self, fence: Fence) -> None:
        residence = self._runs.get(fence.run)
        if residence is not None and residence.assign.epoch <= fence.epoch:
            self._drop(residence)

    def _halted(self, halt: Halt) -> None:
        """Send the run away as a drain would: its steps end first. One that is parked by now may stay: the engine wakes
        it when it is resumed.
        """
        residence = self._runs.get(halt.run)
        if residence is not None and residence.assign.epoch == halt.epoch and residence.stage in ("new", "running"):
            residence.leaves_because = "the run is paused"
            self._send_away(residence)

    # -- seen from the residences

    def rested(self, residence: Residence) -> None:
        """See `Landlord`. If this is all that happens here, the worker may stay awake for the acknowledgement."""
        if self._busy_poll is not None and self._occupants == {residence} and residence.course.waits_to_be_stored:
            self._busy_poll.expect()

    def parked(self, residence: Residence) -> None:
        """See `Landlord`."""
        self._parking.add(residence, self.clock_ms())
        self._vacate(residence)
        self._trim_parking()

    def take_slot(self, residence: Residence) -> bool:
        """See `Landlord`."""
        if self.free and not self._waiting:
            self._occupy(residence)
            return True
        self._waiting[residence] = None
        return False

    def ended(self, residence: Residence) -> None:
        """See `Landlord`."""
        self._parking.discard(residence)
        self._waiting.pop(residence, None)
        self._leaving.add(residence)

    def gone(self, residence: Residence) -> None:
        """See `Landlord`."""
        self._leaving.discard(residence)
        self._vacate(residence)
        self._start_ready(residence.assign.run)
        self._forget(residence)
        if (
            self._nothing_runs is not None
            and not self._occupants
            and not self._leaving
            and not self._nothing_runs.done()
        ):
            self._nothing_runs.set_result(None)

    def _forget(self, residence: Residence) -> None:
        """Let go of a run when nobody knows it any more."""
        if residence.is_gone and self._runs.get(residence.assign.run) is not residence:
            residence.dissolve()

    def _occupy(self, residence: Residence) -> None:
        self._parking.discard(residence)
        self._waiting.pop(residence, None)
        self._occupants.add(residence)

    def _vacate(self, residence: Residence) -> None:
        self._occupants.discard(residence)
        if not self._occupants:
            self._idle_at_ms = self.clock_ms()
        if self._waiting:
            self.loop.call_soon(self._give_slots, context=self.context.copy())

    def _give_slots(self) -> None:
        """Parked runs whose own code moved come before new ones: the engine learns of a free slot only after this."""
        for residence in list(self._waiting):
            if self.free and residence in self._waiting:  # the one before may have parked again and sent it away
                self._occupy(residence)
                residence.unpark()

    # -- leaving

    def _drop(self, residence: Residence) -> None:
        """Forget a run at once; its code is still unwinding."""
        self._runs.pop(residence.assign.run, None)
        residence.leave()

    def _send_away(self, residence: Residence) -> None:
        """A run that waits only may leave by a word if everything of it is durable; otherwise a frame has to say it."""
        if residence.stage == "parked":
            if residence.course.outbox.is_settled:
                self._evict(residence)
            else:
                residence.hand_back()
        elif residence.stage == "new":
            residence.hand_back()
        elif residence.stage == "running":
            residence.drain()

    def _evict(self, residence: Residence, reason: Literal["evicted", "full"] = "evicted") -> None:
        self._drop(residence)
        self.send(Return(residence.assign.run, residence.assign.epoch, reason))

    def _trim_parking(self) -> None:
        now_ms = self.clock_ms()
        for residence in self._parking.leavers(now_ms):
            self._evict(residence)
        delay_ms = self._parking.next_ms(now_ms)
        if self._parking_check is None and delay_ms is not None:
            self._parking_check = self.loop.call_later(
                delay_ms / 1000 + 0.001, self._check_parking, context=self.context.copy()
            )

    def _check_parking(self) -> None:
        self._parking_check = None
        self._trim_parking()


def _context_of_no_run() -> Context:
    """Return a context for everything that the worker does: what it was made in may itself be a run, as in tests."""
    context = copy_context()
    context.run(BRANCH.set, None)
    context.run(hosts.host.set, None)
    context.run(SCOPE.set, None)
    context.run(present.set, None)
    return context

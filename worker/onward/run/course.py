"""The course of a run in memory: what is delivered to its code, and what its code may start, one thing at a time.

`settle` is the only place that delivers and the only place that starts anything. It acts when the run is quiet: when no
callback of it is left in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from functools import partial
from threading import get_ident
from typing import Any, Final, Protocol

from onward_protocol.messages import (
    Ack,
    Assign,
    AttemptFailed,
    CancelRequested,
    EngineEntry,
    Patched,
    Sleep,
    TimerFired,
    Wait,
)

from onward.checkpoint import Checkpoint
from onward.errors import OnwardError, WorkerLost
from onward.host import StepCall
from onward.replay.journal import Journal, LogEntry, StepEntry, is_new_loss, key_of, retry_key
from onward.replay.log import NOBODY, Asked, Replay
from onward.replay.turn import Later, Nobody, RunTimer, Turn
from onward.run import errands
from onward.run.asks import Awaited, DurableWait, Note, RetryWait
from onward.run.bodies import Step
from onward.run.errands import Errands
from onward.run.landlord import Landlord
from onward.run.moments import Alarm
from onward.run.outbox import Outbox
from onward.run.pace import HOLD_MS_MAX, Stay, Verdict, buffer_of, stay_of
from onward.run.patches import Patches, PatchPoint
from onward.run.prompts import Answer, Prompt
from onward.run.threads import Threads
from onward.run.wrapping import Wrapping

LATE_MS: Final = 1_000
"""While results wait for a late request, nothing new starts until the code has asked for nothing for so long."""

UNACKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""While so much of a run is unacknowledged it starts nothing: what the engine cannot take must not fill the memory."""


class Owner(errands.Owner, Protocol):
    """The residence, seen from its course."""

    def asks_to_go(self) -> bool:
        """The run may not go on. Returns whether it may now, because a parked run that moved by itself got a slot."""
        ...

    def cancel(self, reason: str) -> None: ...
    def rest(self) -> None:
        """The run is quiet, and nothing can be delivered or started now."""
        ...

    def ended_something(self) -> None:
        """A body or a thread has ended."""
        ...


class Course:
    """The log of one residence and everything that moves through it."""

    def __init__(self, owner: Owner, landlord: Landlord, assign: Assign, checkpoint: Checkpoint) -> None:
        self.loop: asyncio.AbstractEventLoop = landlord.loop
        self.thread: int = get_ident()
        """The event loop's. Asking asyncio for the running loop is a call of the system."""
        self.step_threads: Executor = landlord.step_threads
        self.is_strict: bool = landlord.is_strict
        self.may_go: bool = False
        self.is_sealed: bool = False
        self.user_threads: Threads | None = None
        self.is_draining: bool = False
        self.stay: Stay | None = stay_of(checkpoint)
        self.verdict: Verdict = "go on"
        self.main: asyncio.Future[Any] = landlord.loop.create_future()
        self.turn: Turn = Turn(landlord.loop, assign.run, landlord.context, self)
        self.journal: Journal = Journal()
        self.replay: Replay[Step] = Replay(self.journal, checkpoint.unacked_max)
        self.outbox: Outbox = Outbox(
            assign.run,
            assign.epoch,
            gate=self.replay.gate,
            send=landlord.send,
            loop=landlord.loop,
            context=landlord.context.copy(),
            buffer=buffer_of(checkpoint),
            is_moving=self._is_moving,
            later=landlord.later,
            clock_ms=landlord.clock_ms,
        )
        self.open_waits: dict[str, Wait] = {}
        self.prompts: set[str] = set()
        self.wrapping: Wrapping | None = None
        self.errands: Errands = Errands(
            landlord.loop, landlord.context, owner=owner, later=landlord.later, settle=self.settle
        )
        self.unread: dict[str, Callable[[LogEntry], Coroutine[Any, Any, None]]] = {}
        """By key: what middleware has to do with a remembered entry before the code gets it."""
        self.patches: Patches = Patches(self)
        self.timers: set[RunTimer] = set()
        self.bodies: set[Step] = set()
        self.threads: set[asyncio.Future[Any]] = set()
        self.known: int = max((entry.pos for entry in assign.entries), default=0)
        self.now_ms: int = assign.started_at_ms
        self.later: Later = landlord.later
        self._owner = owner
        self._landlord = landlord
        self._run = assign.run
        self._wall_offset_ms = landlord.wall_ms() - landlord.clock_ms()
        self._early: dict[int, EngineEntry] = {}
        self._has_new_loss = False
        self._has_journal = False
        self._is_settling = False
        self._reading: Asked | None = None
        """Who gets the entry that middleware is at work on: until then the log stands still."""
        self._asks = 0
        self._late_watch: asyncio.TimerHandle | None = None
        self._is_late_over = False
        self._hold_watch: asyncio.TimerHandle | None = None

    def begin(self, journal: Journal) -> None:
        """Fill the log with what earlier residences left. Nothing was delivered or asked for yet."""
        self.journal = journal
        self._has_new_loss = is_new_loss(journal)
        for entry in journal.unseen:
            self.outbox.mark(entry.pos)
        self.replay.remember(journal)
        self._has_journal = True
        self._enter_early()

    def admit(self) -> None:
        """The run has a slot. From here on counts how long it stays."""
        self.may_go = True
        if self.stay is not None:
            self.stay.begin(self._landlord.clock_ms(), self.replay.gate.results)

    # -- one thing at a time

    def settle(self) -> None:
        """Deliver and start whatever may be, if the run is quiet."""
        if self._is_settling or self.is_sealed or (self.turn.ready and not self.turn.is_quiet):
            return
        if not self.may_go and not self._owner.asks_to_go():
            return
        self._is_settling = True
        try:
            self._go_on()
        except Exception as error:
            if self.is_sealed:
                raise
            self._owner.fail(error)  # nobody else would ever end the run
        finally:
            self._is_settling = self._reading is not None

    def _go_on(self) -> None:
        log, turn, main = self.replay.log, self.turn, self.main
        while not main.done() and ((log and self._deliver()) or (not log and self._start())):
            if (turn.ready and not turn.is_quiet) or self._reading is not None:
                return
        self._owner.rest()

    def _deliver(self) -> bool:
        """Deliver the next entry. Returns False if there is none that can be."""
        head = self.replay.log[0]
        key = key_of(head)
        expecting = self.replay.asked.get(key)
        if expecting is None or isinstance(expecting, Alarm):
            if self._is_computing:
                return False  # a busy thread may ask for it; one that it interrupts has to be in the same call again
            if expecting is None and key:
                self._pass_over(head)
                return True
        asked, entry = self.replay.take()
        if self.unread and (read := self.unread.pop(key, None)) and asked is not NOBODY:
            self._reading = asked
            self.errands.start(partial(read, entry), lambda _: self._hand_over_read(asked, entry))
        else:
            self._hand_over(asked, entry)
        return True

    def _hand_over_read(self, asked: Asked | None, entry: LogEntry) -> None:
        self._reading = None
        self._is_settling = False
        self._hand_over(asked, entry)

    def _hand_over(self, asked: Asked | None, entry: LogEntry) -> None:
        self._move_clock(entry)
        if asked is not None:
            asked.deliver(entry)
        elif isinstance(entry, CancelRequested):
            self._owner.cancel(entry.reason)

    def _pass_over(self, entry: LogEntry) -> None:
        """Nobody has asked for the next entry: the code has changed."""
        if isinstance(entry, Patched):
            self.replay.drop()
            self.patches.drop(entry)
        elif not self.patches.deny_one():
            self.replay.put_off()

    def _move_clock(self, entry: LogEntry) -> None:
        """The run's time is that of the newest entry: the same on a replay, for `loop.time()` too."""
        at_ms = getattr(entry, "at_ms", 0)
        if at_ms > self.now_ms and not isinstance(entry, CancelRequested):  # which may arrive in a frame without a time
            if self.now_ms:
                self.turn.clock += (at_ms - self.now_ms) / 1000
            self.now_ms = at_ms

    def _start(self) -> bool:
        """Start the next thing that may be. Returns False if there is none."""
        replay = self.replay
        if replay.is_empty or (replay.late and self._must_wait_for_late_request()):
            return False
        if self.outbox.window.unacked_bytes >= UNACKED_BYTES_MAX or (
            self.stay is not None and self._may_leave(self.stay)
        ):
            return False
        item = replay.next_wait() or self._next_body()
        if item is None:
            return False
        item.begin()
        return True

    def _next_body(self) -> Step | None:
        if self.is_draining or not self._landlord.may_start():
            return None
        if self._has_new_loss:
            self._charge_loss()
        return self.replay.next_body()

    def _charge_loss(self) -> None:
        """The steps that start first were executing when the last worker died; this attempt of theirs ends with it."""
        self._has_new_loss = False
        for step in self.replay.held_bodies():
            step.loss = WorkerLost("the worker died while it ran this step, again and again.")

    def _must_wait_for_late_request(self) -> bool:
        if self._is_late_over:
            return False
        if self._late_watch is None:
            self._late_watch = self.loop.call_later(
                LATE_MS / 1000, self._look_for_late_requests, self._asks, context=self.turn.outside
            )
        return True

    def _look_for_late_requests(self, asks: int) -> None:
        self._late_watch = None
        self._is_late_over = asks == self._asks
        self.settle()

    def _may_leave(self, stay: Stay) -> bool:
        """Tell whether the run starts nothing more here, because it leaves now or soon: see `verdict`."""
        if not self.replay.has_held_body:
            return False
        self.verdict = stay.verdict(
            self._landlord.clock_ms(),
            self.replay.gate.results,
            is_busy=bool(self.bodies) or self._is_computing or self.errands.are_working,
            has_timers=bool(self.timers),
        )
        if self.verdict == "hold" and self._hold_watch is None:
            self._hold_watch = self.loop.call_later(HOLD_MS_MAX / 1000, self._end_hold, stay, context=self.turn.outside)
        return self.verdict != "go on"

    def _end_hold(self, stay: Stay) -> None:
        stay.lose_patience()
        self.settle()

    # -- what the engine says

    def woken(self, entries: Iterable[EngineEntry]) -> None:
        """Put the engine's entries into the log, each once and in the order of `pos`, however they arrive."""
        self._early.update((entry.pos, entry) for entry in entries if entry.pos > self.known)
        if self._has_journal:
            self._enter_early()
            self.settle()

    def _enter_early(self) -> None:
        while (entry := self._early.pop(self.known + 1, None)) is not None:
            self.known = entry.pos
            self.outbox.mark(entry.pos)
            self.replay.enter(entry)

    def acknowledged(self, ack: Ack) -> None:
        """What is durable may be built on. Raises `ProtocolError` for a frame that was never sent."""
        self.outbox.acknowledged(ack)
        self.settle()

    # -- what user code asks for

    def ask_step(self, step: Step) -> None:
        """Remember the step's result, or hold its body until it may start."""
        self._note_request()
        if not self.replay.ask(step.key, step):
            return
        step.attempt = self.journal.attempts.pop(step.key, 0)
        if step.attempt:
            step.began_at_ms = self.journal.began.pop(step.key, 0)
        if not (step.attempt and self._rests(step)):
            self.replay.hold_body(step)

    def ask_alarm(self, alarm: Alarm) -> None:
        """As `ask_wait`, for a thread that goes on meanwhile."""
        self.ask_wait(alarm)
        self.settle()

    def ask_wait(self, wait: DurableWait | Note | Prompt | Alarm | PatchPoint) -> None:
        """Remember the answer, or open the wait as soon as the run may start something."""
        self._note_request()
        if self.replay.ask(wait.key, wait):
            self.replay.hold_wait(wait)

    def listen(self, answer: Answer) -> None:
        """Take the answer whenever it comes."""
        self.replay.ask(answer.key, answer)

    def _note_request(self) -> None:
        self._asks += 1
        self._is_late_over = False

    def _rests(self, step: Step) -> bool:
        """Tell whether the durable delay before the next attempt goes on from an earlier residence."""
        key = retry_key(step.key, step.attempt)
        if not self.journal.has_open(key) and key not in self.replay.expected:
            return False
        step.is_parked = True
        if self.replay.ask(key, RetryWait(step, key)):
            self.open_waits[key] = Sleep(0)
        return True

    # -- timers of the code's own

    def timer_set(self, timer: RunTimer) -> None:
        """Remember when it fired, or start its clock when the run may start something; at once in a sealed run."""
        if self.is_sealed:
            timer.begin()
        elif self.replay.ask(timer.key, timer):
            self.replay.hold_wait(timer)

    def timer_began(self, timer: RunTimer) -> None:
        """Its clock runs: the run cannot park."""
        self.timers.add(timer)

    def timer_cancelled(self, timer: RunTimer) -> None:
        """The code does not want it any more."""
        self.timers.discard(timer)
        self.replay.give_up(timer.key)

    def timer_rang(self, timer: RunTimer) -> None:
        """Its time has come: it fires at this place in the log."""
        self.timers.discard(timer)
        if self.is_sealed:
            timer.deliver()
            return
        self._record(TimerFired(timer.key, self.wall_ms()))
        self.settle()
        self.outbox.flush_soon()

    # -- steps' bodies

    @property
    def output_bytes_max(self) -> int:
        """The engine's limit, which can change with a connection."""
        return self._landlord.output_bytes_max

    def callback_url(self) -> str:
        """Where callbacks are posted to, which can change with a connection."""
        return self._landlord.callback_url()

    def wall_ms(self) -> int:
        """The wall clock, immune to jumps of it while the run is here."""
        return self._wall_offset_ms + self._landlord.clock_ms()

    def may_start(self) -> bool:
        """See `StepHome`."""
        return self._landlord.may_start()

    def body_of(self, key: str, call: StepCall) -> Callable[..., Any]:
        """See `StepHome`."""
        return self._landlord.body_of(self._run, key, call)

    def body_began(self, step: Step) -> None:
        """See `StepHome`."""
        self.bodies.add(step)
        if step.barrier:
            self.replay.gate.enter_barrier()

    def body_skipped(self, step: Step) -> None:
        """See `StepHome`."""
        self.bodies.discard(step)
        if step.barrier:
            self.replay.gate.leave_barrier()

    def attempt_failed(self, entry: AttemptFailed) -> None:
        """See `StepHome`."""
        self.replay.gate.count()
        self.outbox.add(entry)

    def body_ended(self, step: Step, entry: StepEntry | None) -> None:
        """See `StepHome`."""
        if entry is not None and step.is_wanted and not self.is_sealed:
            self._record(entry)
            if step.barrier:
                self.outbox.drain()
        elif not step.is_wanted:
            self.replay.gate.drop()
        self.body_skipped(step)
        self._owner.ended_something()
        if not self.is_sealed:  # otherwise it may be dissolved by now
            self.outbox.flush_soon()

    def body_broke(self, step: Step, error: OnwardError) -> None:
        """See `StepHome`."""
        self.bodies.discard(step)
        self._owner.fail(error)
        self._owner.ended_something()

    def thread_began(self, thread: asyncio.Future[Any]) -> None:
        """See `StepHome`."""
        self.threads.add(thread)
        thread.add_done_callback(self._thread_ended)

    def _thread_ended(self, thread: asyncio.Future[Any]) -> None:
        self.threads.discard(thread)
        if not thread.cancelled():
            thread.exception()
        self._owner.ended_something()

    def _is_moving(self) -> bool:
        """Tell whether the code, or the one body that executes, has its next turn in the next turn of the loop."""
        if not self.turn.is_quiet:
            return True
        return len(self.bodies) == 1 and not next(iter(self.bodies)).has_begun

    def _record(self, entry: StepEntry | TimerFired) -> None:
        """Put a result at the end of the log, and into a frame."""
        self.replay.gate.count()
        self.replay.enter(entry)
        self.outbox.hold(entry, is_lone=len(self.bodies) <= 1)

    # -- the end

    def show(self, value: bytes) -> None:
        """Show people how far the run is. What a replay comes by was shown before."""
        if self.may_go and not self.replay.replaying:
            self.outbox.show(value)

    def seal(self) -> None:
        """From now on nothing is sent, nothing starts, and every durable call raises `Evicted`."""
        self.is_sealed = True
        self.outbox.close()
        self.errands.close()
        if self._hold_watch is not None:
            self._hold_watch.cancel()
        for asked in [*self.replay.asked.values(), self._reading]:
            if isinstance(asked, Awaited):
                asked.evict()
        for step in list(self.bodies):
            step.stop()

    def dissolve(self) -> None:
        """Let go of all that knows this course in turn, when nobody needs it any more: no code of the run is left, and
        everything is said. Left to the garbage collector, a run of ten steps costs a tenth more.
        """
        self.may_go = False
        self.turn.owner = Nobody()
        del self._owner, self.main, self.outbox, self.errands, self.patches

    @property
    def is_idle(self) -> bool:
        """True if nothing that the code has asked for is on its way inside this worker."""
        if self.bodies:  # asked after every entry, and mostly so
            return False
        replay = self.replay
        is_asking = self.threads or self.timers or self.prompts or replay.log or replay.has_held
        return not (is_asking or self._is_computing or self.errands.are_busy)

    @property
    def is_held_up(self) -> bool:
        """True if nothing of the run executes, or something that it asks for may not start: then nothing is gained by
        keeping results back, and what is to start may wait for their acknowledgement.
        """
        return self.replay.has_held or not (self._is_computing or any(not step.is_resting for step in self.bodies))

    @property
    def waits_to_be_stored(self) -> bool:
        """True if nothing of the run executes, and what is to start may not before results of it are acknowledged."""
        gate = self.replay.gate
        is_working = self.bodies or self.threads or self._is_computing
        return gate.results > gate.acked and self.replay.has_held and not is_working

    @property
    def _is_computing(self) -> bool:
        return self.user_threads is not None and self.user_threads.busy > 0

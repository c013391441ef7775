"""A residence: one run living in this worker's memory, from its Assign to its outcome, eviction or fence."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec.structs import replace
from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Assign, CancelRequested, Failure, HandedBack, Held, Outcome, Parked, RunFailed

from onward import host as hosts
from onward.attempt import present
from onward.errors import OnwardError, RunCancelled, StepFailed
from onward.replay import hooks
from onward.replay.journal import Reader
from onward.replay.lineage import BRANCH, Branch
from onward.run.bodies import REPORT_CHARS_MAX
from onward.run.course import Course
from onward.run.ending import ending_of, limited, outcome_of
from onward.run.hosting import RunHost
from onward.run.intercept import intercepted
from onward.run.landlord import Landlord
from onward.run.threads import Threads
from onward.run.unwind import has_unwound, unwind
from onward.run.wrapper import Wrapper
from onward.run.wrapping import Wrapping, run_info

if TYPE_CHECKING:
    from onward.checkpoint import Checkpoint
    from onward.config import Retry
    from onward.function import Function
    from onward.middleware.chain import Chain
    from onward.run.threads import Ending

STANDSTILL_MS: Final = 10_000
"""A run that waits so long for nothing that Onward knows of is reported: most calls to the outside world end sooner."""

READ_BYTES: Final = 16 * 1024
"""Of a journal in one turn of the loop, about a millisecond: a hundred runs that begin together hold up nobody."""

log: Final = logging.getLogger("onward.run")


class Residence:
    """One run in memory. All methods are called on the event loop, outside of any run's lineage."""

    def __init__(
        self, landlord: Landlord, function: Function[Any, Any], assign: Assign, checkpoint: Checkpoint
    ) -> None:
        self.function = function
        self.assign: Assign = replace(assign, segments=(), entries=())  # read once, they would stay here with the run
        self.stage: Literal["new", "running", "parked", "ended"] = "new"
        self._unasked_at: int | None = None  # the newest frame when it last left its parking place by itself
        self.is_gone: bool = False
        self.leaves_because: str = "the worker stops"
        self.course: Course = Course(self, landlord, assign, checkpoint)
        self._reader = Reader(assign.segments, assign.entries, len(assign.origins))
        self._landlord = landlord
        self._cancelled: RunCancelled | None = None
        self._interrupt: BaseException | None = None
        self._host: RunHost | None = None
        self._wrapper: Wrapper | None = None
        self._is_finishing = False
        self._is_unwound = False
        self._unwinding: asyncio.Task[None] | None = None
        self._standstill: asyncio.TimerHandle | None = None

    # -- start

    def start(self) -> None:
        """Read the journal, in as many turns of the loop as it takes; then start the user's function."""
        self.stage = "running"
        self._read_on()

    def _read_on(self) -> None:
        course = self.course
        if course.is_sealed:
            return
        try:
            hooks.check(course.loop)
            journal = self._reader.read(READ_BYTES)
            if journal is None:
                course.loop.call_soon(self._read_on, context=course.turn.outside)
            else:
                course.begin(journal)
                self._start_code()
        except (OnwardError, ProtocolError) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - ours: without an outcome the run would hang for ever
            self.fail(error)

    def _fail(self, error: Exception) -> None:
        """End a run that cannot be replayed with the reason, instead of letting it come back for ever."""
        self.course.may_go = True
        self.course.main.set_exception(error)
        self.course.settle()

    def _start_code(self) -> None:
        if self.function.chain is None:
            self._start_main(self._landlord.context.copy())
        else:
            self._start_wrapped(self.function.chain)

    def _start_wrapped(self, chain: Chain) -> None:
        course = self.course
        info = run_info(self.function, self.assign, replayed=course.replay.replaying)
        course.wrapping = wrapping = Wrapping(chain, info, self.assign.origins)
        if wrapping.has_codecs:
            course.errands.start(partial(wrapping.open_assign, self.assign), self._start_read)
        else:
            self._surround(wrapping)

    def _start_read(self, assign: Assign) -> None:
        self.assign = assign
        assert self.course.wrapping is not None
        self._surround(self.course.wrapping)

    def _surround(self, wrapping: Wrapping) -> None:
        if not wrapping.chain.runs:
            self._start_main(self._landlord.context.copy())
            return
        self._wrapper = Wrapper(
            self.course.loop,
            self.course.errands.context(),
            partial(wrapping.chain.wrap_run, wrapping.run),
            begin=self._start_main,
            concluded=self._conclude,
        )

    def _start_main(self, context: Context) -> None:
        """Start the user's function in this context, which becomes the run's."""
        self.course.admit()
        self._host = host = RunHost(self.function, self.assign, self.course)
        context.run(self._enter, host)
        if self.function.is_sync:
            self._start_thread(host, context)
        else:
            self.course.main = self.course.turn.start(self._run(host), context)

    def _enter(self, host: RunHost) -> None:
        BRANCH.set(Branch(self.course.turn))
        hosts.host.set(host)
        if present.get():  # what starts the code may be middleware
            present.set(None)
            hosts.in_middleware.set(False)

    async def _run(self, host: RunHost) -> Any:
        host.context = self.function.make_context(host, self.assign, self._landlord.state)
        try:
            return await intercepted(self.function.fn(host.context), self._take_interrupt)
        except SystemExit as error:  # asyncio would end the worker
            raise OnwardError("the function called sys.exit().", code="E0315") from error

    def _start_thread(self, host: RunHost, context: Context) -> None:
        branch = context[BRANCH]
        assert branch is not None
        course = self.course
        threads = Threads(
            course.turn, run=self.assign.run, is_sealed=lambda: course.is_sealed, changed=self.ended_something
        )
        course.user_threads = host.threads = threads
        course.main = threads.start(partial(self._call, host), context, branch)

    def _call(self, host: RunHost) -> Any:
        host.context = self.function.make_context(host, self.assign, self._landlord.state)
        return self.function.fn(host.context)

    # -- seen from the course

    def asks_to_go(self) -> bool:
        """See `Owner`."""
        if self.stage == "parked" and self._has_moved and self._landlord.take_slot(self):
            self._take_up_unasked()
        return self.course.may_go

    def cancel(self, reason: str) -> None:
        """See `Owner`. Raise `RunCancelled` in the function, once."""
        if self._cancelled is not None:
            return
        self._cancelled = self._interrupt = RunCancelled(reason)
        self.course.stay = None  # its clean-up has a time of its own
        if self.course.user_threads is not None:
            self.course.user_threads.interrupt(self._cancelled)
        else:
            self.course.main.cancel()

    def _take_interrupt(self) -> BaseException | None:
        interrupt, self._interrupt = self._interrupt, None
        return interrupt

    def rest(self) -> None:
        """See `Owner`. Decide what a run that cannot go on by itself does with its slot."""
        if self.course.main.done():
            self._finish()
        elif self.course.is_draining:
            if not self.course.errands.are_working and all(step.is_resting for step in self.course.bodies):
                self._end(HandedBack(self.leaves_because))
        elif self.course.verdict == "leave":
            self._end(HandedBack("its time here is over"))
        elif self.course.is_idle:
            if self.course.open_waits:
                self._park()
            else:
                self._watch_standstill()
        if self.course.outbox.is_holding and self.course.is_held_up:
            self.course.outbox.drain()
        self._landlord.rested(self)

    def ended_something(self) -> None:
        """See `Owner`."""
        self.course.settle()
        if self._is_unwound and not self.is_gone and not self._is_executing:
            self.is_gone = True
            self._landlord.gone(self)

    @property
    def _has_moved(self) -> bool:
        course = self.course
        if course.main.done() or course.timers or course.bodies or course.replay.has_held or not course.open_waits:
            return True
        return any(isinstance(entry, CancelRequested) for entry in course.replay.log)

    @property
    def _is_executing(self) -> bool:
        return bool(
            self.course.bodies or self.course.threads or (self.course.user_threads and self.course.user_threads.alive)
        )

    @property
    def retry(self) -> Retry:
        """See `errands.Owner`."""
        return self.function.retry

    def fail(self, error: BaseException) -> None:
        """See `errands.Owner`. No code of the run's can handle this: it would go on differently on a replay."""
        if not self.course.is_sealed:
            self._end_with(outcome_of(self.function, (None, error), self._cancelled), error)

    # -- park

    def _park(self) -> None:
        self.stage = "parked"
        self.course.may_go = False
        self.course.outbox.flush(Parked())
        self._landlord.parked(self)

    def take_up(self) -> None:
        """The engine has given the run a slot, which it may have already."""
        self._unasked_at = None
        if self.stage == "parked":
            self.stage = "running"
            self.course.admit()

    def unpark(self) -> None:
        """The run has a slot again: go on."""
        self._take_up_unasked()
        self.course.settle()

    def _take_up_unasked(self) -> None:
        self.take_up()
        self._unasked_at = self.course.outbox.window.last_seq

    def _watch_standstill(self) -> None:
        if self._standstill is None:
            course = self.course
            delivered = course.replay.delivered
            self._standstill = course.loop.call_later(
                STANDSTILL_MS / 1000, self._report_standstill, delivered, context=course.turn.outside
            )

    def _report_standstill(self, delivered: int) -> None:
        self._standstill = None
        course = self.course
        if not course.is_sealed and course.is_idle and not course.open_waits and course.replay.delivered == delivered:
            log.warning(
                "run %s of %s waits for something that Onward does not know of, for %d s now; "
                "put calls to the outside world into steps",
                self.assign.run,
                self.function.id,
                STANDSTILL_MS // 1000,
            )

    # -- end

    def drain(self) -> None:
        """Start no body any more, and hand the run back when those that run have ended."""
        course = self.course
        if not course.may_go:
            self.hand_back()
            return
        course.is_draining = True
        course.outbox.stop_buffering()
        for step in [step for step in course.bodies if step.is_resting]:
            step.stop()
        course.settle()

    def hand_back(self) -> None:
        """Give the run to another worker now, although its bodies may not have ended."""
        self._end(HandedBack(self.leaves_because))

    def leave(self) -> None:
        """Seal the run and end its code. Nothing is sent any more; every durable call raises `Evicted`."""
        if self.course.is_sealed:
            return
        self.stage = "ended"
        self.course.seal()
        if self._standstill is not None:
            self._standstill.cancel()
        self._landlord.ended(self)
        if self._wrapper is None and has_unwound(self.course.turn):
            self._unwound()  # at once, so that the message with the outcome offers the slot as well
        else:
            self._unwinding = self.course.loop.create_task(self._unwind(), context=self._landlord.context.copy())

    async def _unwind(self) -> None:
        await unwind(self.course.turn, self._landlord.patience_ms)
        if self._wrapper is not None:
            await self._wrapper.leave(self._landlord.patience_ms / 1000)
        self._unwound()

    def _unwound(self) -> None:
        self._is_unwound = True
        self.ended_something()

    def _finish(self) -> None:
        """The outcome is the run's last word: tasks that it left over start nothing any more."""
        if self._is_finishing:
            return
        self._is_finishing = True
        course = self.course
        ending = course.main.result() if self.course.user_threads is not None else ending_of(course.main)
        if self._wrapper is None:
            self._conclude(ending)
        else:
            value, error = ending  # a task that was cancelled does not say why
            is_cancelled = self._cancelled is not None and isinstance(error, asyncio.CancelledError)
            self._wrapper.code_ended((value, self._cancelled if is_cancelled else error))

    def _conclude(self, ending: Ending) -> None:
        """The code has ended, and all middleware around it."""
        course = self.course
        if course.is_sealed:
            return
        unused = course.replay.unused()
        if unused:
            log.warning(
                "run %s of %s ended without asking for recorded results: %s", self.assign.run, self.function.id, unused
            )
        outcome = outcome_of(self.function, ending, self._cancelled)
        if course.wrapping is None or not course.wrapping.has_codecs:
            self._end_with(outcome, ending[1])
        else:
            work = partial(course.wrapping.seal_outcome, outcome)
            course.errands.start(work, partial(self._end_with, error=ending[1]))

    def _end_with(self, outcome: Outcome, error: BaseException | None) -> None:
        outcome = limited(self.function, outcome, self.course.output_bytes_max)
        if isinstance(outcome, RunFailed):
            self._report_failure(outcome.failure, error)
        self._end(outcome)

    def _report_failure(self, failure: Failure, error: BaseException | None) -> None:
        shown = None if isinstance(error, StepFailed) else error  # the step's own report has the traceback that helps
        text = failure.message[:REPORT_CHARS_MAX]
        log.error("run %s of %s failed: %s: %s", self.assign.run, self.function.id, failure.type, text, exc_info=shown)

    def _end(self, outcome: Outcome) -> None:
        self.course.outbox.flush(outcome)
        self.leave()

    def dissolve(self) -> None:
        """Let go of everything, when nobody needs it any more: no code of the run is left, and everything is said."""
        self.course.dissolve()
        if self._host is not None:
            self._host.context = None

    @property
    def is_at_rest(self) -> bool:
        """True if everything is told and acknowledged, and only timers or pauses between attempts can move the run."""
        course = self.course
        if not course.outbox.is_settled or not course.turn.is_quiet or course.replay.log:
            return False
        if course.replay.has_held and course.verdict != "hold":
            return False
        if course.errands.are_busy or (self._wrapper is not None and not self._wrapper.has_code):
            return course.errands.are_resting
        pauses = [step.is_resting for step in course.bodies]
        return self.stage == "parked" or (all(pauses) and bool(pauses or course.timers))

    @property
    def held(self) -> Held:
        """The run as it is."""
        return self._held_as("running" if self.stage == "new" else self.stage)

    @property
    def shown(self) -> Held:
        """The run as the engine can know it: one that left its parking place by itself has not said so yet."""
        is_unsaid = self.stage == "running" and self._unasked_at == self.course.outbox.window.last_seq
        return self._held_as("parked") if is_unsaid else self.held

    def introduce(self) -> Held:
        """Return the run as it is, for a Hello: what the engine has been told before counts no longer."""
        self._unasked_at = None
        return self.held

    def _held_as(self, state: Literal["running", "parked", "ended"]) -> Held:
        window = self.course.outbox.window
        return Held(self.assign.run, self.assign.epoch, window.last_seq, window.acked_seq, self.course.known, state)

"""A step: from the call in user code, over its attempts, to the result that is recorded."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, copy_context
from typing import Any, Final, Protocol

from msgspec.structs import replace
from onward_protocol.messages import AttemptFailed, Failure, StepDone, StepFailed

from onward.attempt import StepAttempt, nobody_listens, present
from onward.errors import NonDeterminism, OnwardError, PayloadTooLarge, WorkerLost, failure_of, step_failed
from onward.host import StepCall
from onward.processes.elsewhere import Carry, carrier
from onward.replay.identity import Identity
from onward.replay.journal import LogEntry, StepEntry, retry_key
from onward.replay.lineage import BRANCH
from onward.replay.turn import Cancellable
from onward.run.asks import Awaited, Home, close_wait, open_retry
from onward.run.retry import decide
from onward.run.stopwatch import Stopwatch
from onward.run.wrapping import Wrapping

RETRY_IN_MEMORY_MS: Final = 5_000
"""A longer delay becomes a durable wait, so that the run can be parked; a shorter one is not worth the two commits."""

REPORT_CHARS_MAX: Final = 500
"""Of an error's message in one line of the log; the journal has more."""

log: Final = logging.getLogger("onward.run")


class ChangedArgumentsWarning(UserWarning):
    """A replay calls a step with other arguments than the ones its recorded result was made with."""


class StepHome(Home, Protocol):
    """The residence, seen from a step."""

    step_threads: Executor
    is_strict: bool
    wrapping: Wrapping | None
    unread: dict[str, Callable[[LogEntry], Coroutine[Any, Any, None]]]

    @property
    def output_bytes_max(self) -> int: ...

    def wall_ms(self) -> int: ...
    def may_start(self) -> bool: ...
    def later(self, delay_s: float, callback: Callable[..., object], /, *args: Any) -> Cancellable: ...
    def body_of(self, key: str, call: StepCall) -> Callable[..., Any]:
        """Return what an attempt that begins now calls."""
        ...

    def body_began(self, step: Step) -> None: ...
    def body_skipped(self, step: Step) -> None:
        """The body was stopped before it began. Called while the run's code executes."""
        ...

    def attempt_failed(self, entry: AttemptFailed) -> None:
        """The body will be tried again."""
        ...

    def body_ended(self, step: Step, entry: StepEntry | None) -> None:
        """The body's task ends. `entry` is its result; None if it is not wanted or rests until its next attempt."""
        ...

    def body_broke(self, step: Step, error: OnwardError) -> None:
        """The body's task ends, and nobody knows with what: the run cannot go on."""
        ...

    def thread_began(self, thread: asyncio.Future[Any]) -> None: ...


class Step(Awaited):
    """One call of a step in one residence."""

    __slots__ = (
        "_context",
        "_identity",
        "asked_after",
        "attempt",
        "barrier",
        "began_at_ms",
        "call",
        "details",
        "has_begun",
        "host",
        "is_parked",
        "is_resting",
        "loss",
        "plain",
        "present",
        "task",
    )

    def __init__(self, home: StepHome, key: str, call: StepCall, identity: Identity) -> None:
        super().__init__(home, key)
        self.host: StepHome = home
        self.call: StepCall = call
        self.barrier: bool = call.barrier
        self.asked_after: int = 0
        self.attempt: int = 0
        self.began_at_ms: int = 0
        self.details: Any = None
        self.present: StepAttempt | None = None
        self.is_resting: bool = False
        self.is_parked: bool = False
        self.loss: WorkerLost | None = None
        self.plain: bytes | None = None
        """What the recorded bytes say, if middleware has made others of them."""
        self.task: asyncio.Task[None] | None = None
        self.has_begun: bool = False
        self._identity = identity
        self._context = copy_context()

    # -- seen from user code

    def result(self, entry: LogEntry) -> Any:
        """Return what the code gets: always the decoded copy, also on the first execution. Raises `StepFailed`."""
        if isinstance(entry, StepDone):
            return self.call.decode(entry.output if self.plain is None else self.plain)
        assert isinstance(entry, StepFailed)
        failure = entry.failure if self.plain is None else replace(entry.failure, data=self.plain)
        raise step_failed(failure, step=self.call.id, attempts=entry.attempts)

    async def read(self, wrapping: Wrapping, entry: LogEntry) -> None:
        """Undo what middleware has done to a result of an earlier residence."""
        if isinstance(entry, StepDone):
            self.plain = await wrapping.open_step(self.key, entry.output)
        elif isinstance(entry, StepFailed) and entry.failure.data:
            self.plain = await wrapping.open_step(self.key, entry.failure.data)

    def deliver(self, entry: LogEntry) -> None:
        """Hand the entry to the waiting coroutine, unless it was recorded for another step."""
        if self.future.done():
            return
        problem = self._mismatch(entry)
        if problem is None:
            self.future.set_result(entry)
        else:
            self.future.set_exception(problem)

    def give_up(self) -> None:
        """The code no longer waits: stop the body. Nothing is recorded, because the cause is in the log already."""
        home = self.host
        if home.is_sealed:
            return
        home.replay.give_up(self.key)
        home.unread.pop(self.key, None)
        self.stop()
        if self.is_parked:
            close_wait(home, retry_key(self.key, self.attempt))

    # -- its body

    def begin(self) -> None:
        """Start the next attempt."""
        self.is_parked = False
        self.has_begun = False
        self._context.run(_enter_body, self)
        self.host.body_began(self)
        self.task = asyncio.Task(self._execute(), loop=self.host.loop, context=self._context)

    def stop(self) -> None:
        """Cancel the body's task; a body in a thread runs on, and its result is dropped."""
        if self.task is None:
            return
        self.task.cancel()
        if not self.has_begun:  # a task that is cancelled before its first step never enters its coroutine
            self.host.body_skipped(self)

    async def _execute(self) -> None:
        entry = None
        self.has_begun = True
        try:
            try:
                while entry is None and not self.is_parked and not self.future.done() and not self.host.is_sealed:
                    if not self.host.may_start():  # the process may have stood still since this task was made
                        self._hold()
                        return
                    self.attempt += 1
                    entry = await self._attempt()
            finally:
                if entry is not None:
                    self._let_go()
                self.host.body_ended(self, entry)
        except Exception as error:  # noqa: BLE001 - not the body's: without an outcome the run would hang for ever
            self.host.body_broke(self, self._broken(error))

    def _broken(self, error: Exception) -> OnwardError:
        broken = OnwardError(
            f"what follows attempt {self.attempt} of step '{self.call.id}' failed: {error!r}", code="E0318"
        )
        broken.__cause__ = error
        return broken

    def _let_go(self) -> None:
        """Forget what knows this step in turn: left to the garbage collector, steps cost a quarter more."""
        self.task = None
        self._context = _NOWHERE

    def _hold(self) -> None:
        """Without a lease no attempt begins: somebody else may have the run by now."""
        if self.is_wanted and not self.is_parked and not self.host.is_sealed:
            self.host.replay.hold_body(self)

    async def _attempt(self) -> StepEntry | None:
        call, home, identity = self.call, self.host, self._identity
        began_ms = home.wall_ms()
        self.began_at_ms = self.began_at_ms or began_ms
        try:
            wrapping = home.wrapping
            if wrapping is None or self.loss is not None:
                output = call.encode(await self._value())
            else:
                output = await self._wrapped(wrapping)
            if len(output) > home.output_bytes_max:
                raise self._too_large(output)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a body raises is that attempt's failure, a stray cancellation too
            return await self._failed(error)
        ended_ms = home.wall_ms()
        return StepDone(
            self.key,
            output,
            call.name,
            identity.site,
            identity.args,
            self.attempt,
            ended_ms - began_ms,
            ended_ms,
        )

    async def _value(self) -> Any:
        if self.loss is not None:
            loss, self.loss = self.loss, None
            raise loss
        call, fn = self.call, self.host.body_of(self.key, self.call)
        if self.present is not None:
            self.details, self.present = self.present.left(), None
        if call.timeout_ms is None and call.heartbeat_ms is None:
            value = fn(*call.args, **call.kwargs) if call.executor == "loop" else await self._aside(fn, nobody_listens)
            return await value if inspect.isawaitable(value) else value
        return await self._timed(fn)

    async def _timed(self, fn: Callable[..., Any]) -> Any:
        call = self.call
        with Stopwatch(self.host.loop, call) as watch:
            self._tell(watch.beat)
            if call.executor == "process":
                return await self._aside(fn, watch.begin)
            body = watch.starts(fn)
            value = await self._in_thread(body) if call.executor == "thread" else body(*call.args, **call.kwargs)
            return await value if inspect.isawaitable(value) else value

    def tell(self) -> StepAttempt:
        """Return the present attempt, for its body."""
        return self.present or self._tell(nobody_listens)

    def _tell(self, beat: Callable[[], None]) -> StepAttempt:
        call, run = self.call, self.host.outbox.window.run
        told = StepAttempt(call.id, self.key, run, self.attempt, call.retry.attempts, self.details, beat)
        self.present = told
        return told

    async def _wrapped(self, wrapping: Wrapping) -> bytes:
        """Execute the body, and encode its result, inside of middleware."""
        output = self.call.encode(await wrapping.execute(self.call, self.key, self.attempt, self._value))
        if wrapping.has_codecs:
            output, self.plain = await wrapping.seal_step(self.key, output)
            self.host.unread.pop(self.key, None)
        return output

    def _too_large(self, output: bytes) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"the result of step '{self.call.id}' has {len(output)} bytes; {self.host.output_bytes_max} are allowed."
        )

    async def _aside(self, fn: Callable[..., Any], began: Callable[[], None]) -> Any:
        """Run the body beside the loop: in a thread, or in a process, which a cancelled body leaves at once."""
        if self.call.executor == "thread":
            return await self._in_thread(fn)
        from onward.processes.call import RemoteCall
        from onward.processes.pool import pool

        call = RemoteCall(self.tell(), began)
        try:
            return await self._in_thread(fn, pool().threads, call.carry)
        except asyncio.CancelledError:
            call.stop()
            raise

    async def _in_thread(
        self, fn: Callable[..., Any], threads: Executor | None = None, carry: Carry | None = None
    ) -> Any:
        """Run the body in the pool. A cancelled body runs on in its thread, which the run then still occupies, as the
        attempt that it is.
        """
        context, told = copy_context(), self.tell()
        context.run(present.set, lambda: told)
        if carry is not None:
            context.run(carrier.set, carry)
        thread = self.host.loop.run_in_executor(
            threads or self.host.step_threads, lambda: context.run(self._call_in_thread, fn)
        )
        self.host.thread_began(thread)
        value, error = await asyncio.shield(thread)
        if error is not None:
            raise error
        return value

    def _call_in_thread(self, fn: Callable[..., Any]) -> tuple[Any, BaseException | None]:
        if not self.is_wanted or self.host.is_sealed:
            return None, None
        try:
            return fn(*self.call.args, **self.call.kwargs), None
        except BaseException as error:  # noqa: BLE001 - a future cannot carry StopIteration
            return None, error

    async def _failed(self, error: BaseException) -> StepFailed | None:
        failure = failure_of(error)
        if self.host.wrapping is not None and self.host.wrapping.has_codecs:
            self.plain = failure.data
            self.host.unread.pop(self.key, None)
            failure = await self.host.wrapping.seal_step_failure(self.key, failure)
        if not self.is_wanted or self.host.is_sealed:
            return None
        call = self.call
        spent_ms = self.host.wall_ms() - self.began_at_ms
        delay_ms = decide(call.retry, self.attempt, error, random.random(), spent_ms)  # noqa: S311 - jitter
        self._report(error, failure, delay_ms)
        if delay_ms is None:
            identity = self._identity
            return StepFailed(
                self.key, failure, call.name, identity.site, identity.args, self.attempt, self.host.wall_ms()
            )
        self.host.attempt_failed(AttemptFailed(self.key, self.attempt, failure, delay_ms, self.began_at_ms))
        if delay_ms > RETRY_IN_MEMORY_MS:
            self.is_parked = True
            open_retry(self, retry_key(self.key, self.attempt), delay_ms)
        elif delay_ms:
            await self._rest(delay_ms)
        return None

    def _report(self, error: BaseException, failure: Failure, delay_ms: int | None) -> None:
        what = f"step '{self.call.id}' of run {self.host.outbox.window.run}, attempt {self.attempt}"
        if delay_ms is None:
            log.warning("%s, failed for good", what, exc_info=error)
        else:
            text = failure.message[:REPORT_CHARS_MAX]
            log.warning("%s, failed; next in %.1f s: %s: %s", what, delay_ms / 1000, failure.type, text)

    async def _rest(self, delay_ms: int) -> None:
        self.is_resting = True
        rested: asyncio.Future[None] = self.host.loop.create_future()
        alarm = self.host.later(delay_ms / 1000, self._end_rest, rested)
        try:
            await rested
        finally:
            alarm.cancel()
            self.is_resting = False

    def _end_rest(self, rested: asyncio.Future[None]) -> None:
        self.is_resting = False
        if not rested.done():
            rested.set_result(None)

    def _mismatch(self, entry: LogEntry) -> NonDeterminism | None:
        if not isinstance(entry, StepEntry):
            return NonDeterminism(
                f"step '{self.call.id}' has the key of something else in this run's journal ({self.key})."
            )
        mine = self._identity
        if entry.name and entry.name != self.call.name:
            return NonDeterminism(f"'{self.key}' was recorded for {entry.name}, and now calls {self.call.name}.")
        if entry.site and mine.site and entry.site != mine.site:
            return NonDeterminism(f"'{self.key}' ({self.call.name}) was recorded for another call in the code.")
        if entry.args and mine.args and entry.args != mine.args:
            return self._changed_arguments()
        return None

    def _changed_arguments(self) -> NonDeterminism | None:
        message = f"'{self.key}' ({self.call.name}) was recorded with other arguments."
        if self.host.is_strict:
            return NonDeterminism(message)
        warnings.warn(f"{message} The recorded result is used.", ChangedArgumentsWarning, stacklevel=2)
        return None


_NOWHERE: Final = Context()
"""In place of a context that is not needed any more."""


def _enter_body(step: Step) -> None:
    """A body belongs to no branch: its tasks exist only when it really runs, and must not shift the keys of the run."""
    BRANCH.set(None)
    present.set(step.tell)

"""The threads of a synchronous run: each durable call is awaited on the loop while its thread blocks.

A thread is *busy* while user code runs in it, and not while it waits in a durable call or in `gather`. Everything below
that changes the counts runs on the loop, so that no lock is needed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, TypeVar

from onward import host as hosts
from onward.attempt import present
from onward.errors import Evicted, OnwardError, StepInsideStep
from onward.replay.lineage import BRANCH, Branch
from onward.replay.turn import Turn
from onward.run.moments import Alarm

T = TypeVar("T")
Ending = tuple[Any, BaseException | None]
"""How a function ended: its result, or what it raised."""

GATHER_THREADS_MAX: Final = 128
"""At once in one `gather` without its own limit: a thread costs memory, and some callers have thousands of calls."""


class UserThread:
    """A thread of the run, or one call of a `gather`. `interrupt` is raised by its present or next durable call."""

    __slots__ = ("branch", "interrupt", "parent", "task")

    def __init__(self, branch: Branch, parent: UserThread | None = None) -> None:
        self.branch: Branch = branch
        self.parent: UserThread | None = parent
        self.interrupt: BaseException | None = None
        self.task: asyncio.Task[Any] | None = None

    def is_within(self, other: UserThread | None) -> bool:
        """Tell whether this is the other thread, or works for a `gather` of it; None: for any."""
        return other is None or self is other or (self.parent is not None and self.parent.is_within(other))

    def take_interrupt(self) -> BaseException | None:
        interrupt, self.interrupt = self.interrupt, None
        return interrupt


class Team:
    """The calls of one `gather`, taken in order by its threads."""

    def __init__(
        self, parent: UserThread, calls: Sequence[Callable[[], Any]], contexts: Sequence[Context], threads: int
    ) -> None:
        self.parent = parent
        self.waiting: deque[tuple[int, tuple[Callable[[], Any], Context]]] = deque(
            enumerate(zip(calls, contexts, strict=True))
        )
        self.endings: list[Ending] = [(None, None)] * len(calls)
        self.threads = threads
        self.done: Future[None] = Future()

    def values(self) -> tuple[Any, ...]:
        """Return the results, or raise the first failure in the order of the calls; an eviction comes before it."""
        errors = [error for _, error in self.endings if error is not None]
        for error in sorted(errors, key=lambda error: not isinstance(error, Evicted)):
            if error is self.parent.interrupt:
                self.parent.interrupt = None
            raise error
        return tuple(value for value, _ in self.endings)


class Threads:
    """All threads of one run. `changed` is called on the loop whenever one of them ended or began to wait."""

    def __init__(self, turn: Turn, *, run: str, is_sealed: Callable[[], bool], changed: Callable[[], None]) -> None:
        self.busy: int = 0
        self.alive: int = 0
        self._turn = turn
        self._run = run
        self._is_sealed = is_sealed
        self._changed = changed
        self._threads: dict[int, UserThread] = {}

    # -- on the loop

    def start(self, call: Callable[[], Any], context: Context, branch: Branch) -> asyncio.Future[Ending]:
        """Run the user's function in a thread of its own; the future gets its ending."""
        main: asyncio.Future[Ending] = self._turn.loop.create_future()
        self._start_thread(partial(self._run_main, call, context, branch, main))
        return main

    def interrupt(self, error: BaseException, within: UserThread | None = None) -> None:
        """Raise `error` in the durable call that each thread is in; calls of a `gather` that have not begun get it in
        their first one. Called while no thread is busy, so that a replay finds each in the same call.
        """
        for thread in list(self._threads.values()):  # threads come and go meanwhile
            if thread.is_within(within):
                thread.interrupt = error
                if thread.task is not None:
                    thread.task.cancel()

    # -- in the run's threads

    def block(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await `ask()` on the loop, in this thread's branch, and block until it is done."""
        thread = self._here()
        done: Future[T] = Future()
        self._post(self._begin, thread, ask, copy_context(), done)
        return done.result()

    def gather(self, calls: Sequence[Callable[[], Any]], limit: int | None) -> tuple[Any, ...]:
        """Run `calls` in threads, at most `limit` at once."""
        thread = self._here()
        if not calls:
            return ()
        contexts = [_context_in(thread.branch.child()) for _ in calls]
        team = Team(thread, calls, contexts, min(len(calls), limit or GATHER_THREADS_MAX))
        self._post(self._begin_team, team)
        team.done.result()
        return team.values()

    def limit(
        self, error: BaseException, alarm_of: Callable[[Callable[[], None]], Alarm], ask: Callable[[Alarm], None]
    ) -> Callable[[], None]:
        """Interrupt this thread and its gathers with `error` when the alarm rings; return what ends that."""
        thread = self._here()
        alarm = alarm_of(partial(self.interrupt, error, thread))
        self._post(ask, alarm)

        def end() -> None:
            if thread.interrupt is error:
                thread.interrupt = None
            self._post(alarm.give_up)

        return end

    def _here(self) -> UserThread:
        if present.get():
            raise StepInsideStep(f"a durable call was made {hosts.place()}.")
        thread = self._threads.get(threading.get_ident())
        if thread is None:
            raise OnwardError(
                "a durable call came from a thread that is not one of the run's own; use ctx.gather for threads.",
                code="E0308",
            )
        return thread

    def _post(self, callback: Callable[..., object], *args: Any) -> None:
        """Call back on the loop, outside of the run's lineage. A loop that has gone means that the worker has."""
        try:
            self._turn.loop.call_soon_threadsafe(partial(callback, *args), context=self._turn.outside)
        except RuntimeError as error:
            raise Evicted from error

    def _run_main(
        self, call: Callable[[], Any], context: Context, branch: Branch, main: asyncio.Future[Ending]
    ) -> None:
        ending = self._ending(call, context, UserThread(branch))
        with suppress(Evicted):
            self._post(self._end_main, main, ending)

    def _run_team(self, team: Team) -> None:
        while (taken := _next_of(team.waiting)) is not None:
            index, (call, context) = taken
            branch = context[BRANCH]
            assert branch is not None
            thread = UserThread(branch, team.parent)
            thread.interrupt = team.parent.interrupt
            team.endings[index] = self._ending(call, context, thread)
        with suppress(Evicted):
            self._post(self._end_team_thread, team)

    def _ending(self, call: Callable[[], Any], context: Context, thread: UserThread) -> Ending:
        if self._is_sealed():
            return None, Evicted()
        ident = threading.get_ident()
        self._threads[ident] = thread
        try:
            return context.run(call), None
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is taken
            return None, error
        finally:
            del self._threads[ident]

    # -- on the loop, for the above

    def _start_thread(self, target: Callable[[], None]) -> None:
        self.busy += 1
        self.alive += 1
        threading.Thread(target=target, name=f"run-{self._run}", daemon=True).start()

    def _begin(
        self, thread: UserThread, ask: Callable[[], Coroutine[Any, Any, T]], context: Context, done: Future[T]
    ) -> None:
        refusal = Evicted() if self._is_sealed() else thread.take_interrupt()
        if refusal is not None:
            done.set_exception(refusal)
            return
        self.busy -= 1
        thread.task = self._turn.start(self._await(thread, ask, done), context)

    async def _await(self, thread: UserThread, ask: Callable[[], Coroutine[Any, Any, T]], done: Future[T]) -> None:
        """Await the call. The thread counts as busy before this task ends: it may ask for the next entry at once."""
        value, error = None, None
        try:
            value = await ask()
        except asyncio.CancelledError as cancelled:
            error = Evicted() if self._is_sealed() else thread.take_interrupt() or cancelled
        except BaseException as raised:  # noqa: BLE001 - it belongs to the thread
            error = raised
        thread.task = None
        self.busy += 1
        if error is None:
            done.set_result(value)  # type: ignore[arg-type]  # the value of `ask` if there is no error
        else:
            done.set_exception(error)

    def _begin_team(self, team: Team) -> None:
        refusal = Evicted() if self._is_sealed() else team.parent.take_interrupt()
        if refusal is not None:
            team.endings = [(None, refusal)]
            team.done.set_result(None)
            return
        self.busy -= 1
        for _ in range(team.threads):
            self._start_thread(partial(self._run_team, team))

    def _end_team_thread(self, team: Team) -> None:
        self.busy -= 1
        self.alive -= 1
        team.threads -= 1
        if team.threads == 0:
            self.busy += 1
            team.done.set_result(None)
        self._changed()

    def _end_main(self, main: asyncio.Future[Ending], ending: Ending) -> None:
        self.busy -= 1
        self.alive -= 1
        main.set_result(ending)
        self._changed()


def _context_in(branch: Branch) -> Context:
    context = copy_context()
    context.run(BRANCH.set, branch)
    return context


def _next_of(waiting: deque[T]) -> T | None:
    """Take the next call; other threads take from the same queue."""
    try:
        return waiting.popleft()
    except IndexError:
        return None

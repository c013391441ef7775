"""The durable calls of user code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from onward_protocol.ids import derived_id
from onward_protocol.messages import Draft, EngineEntry, Sent, Wait

from onward import host as hosts
from onward.errors import Evicted, OnwardError, StepInsideStep
from onward.host import Cursors, StepCall
from onward.replay.identity import identity_of
from onward.replay.lineage import BRANCH, Branch
from onward.run.asks import DurableWait, Note
from onward.run.bodies import Step

if TYPE_CHECKING:
    from onward_protocol.messages import Assign

    from onward.config import Retry
    from onward.function import Function
    from onward.run.course import Course
    from onward.run.threads import Threads

T = TypeVar("T")


class RunHost:
    """A run, seen from user code. Implements `Host`."""

    def __init__(self, function: Function[Any, Any], assign: Assign, course: Course) -> None:
        self.run_id: str = assign.run
        self.epoch: int = assign.epoch
        self.cursors: Cursors = Cursors(max([assign.ord, *(event.ord for event in assign.events)]))
        self.context: Any = None
        self.threads: Threads | None = None
        self._function = function
        self._course = course

    @property
    def retry(self) -> Retry:
        """See `Host`."""
        return self._function.retry

    @property
    def replaying(self) -> bool:
        """See `Host`."""
        return self._course.replay.replaying

    @property
    def leaving(self) -> bool:
        """See `Host`."""
        return self._course.is_sealed

    async def step(self, call: StepCall) -> Any:
        """See `Host`."""
        course = self._course
        key = self._branch(call.id).key(call.id)
        step = Step(course, key, call, identity_of(call.args, call.kwargs))
        course.ask_step(step)
        try:
            entry = await step.future
        except BaseException:
            step.give_up()
            raise
        return step.result(entry)

    async def wait(self, name: str, wait: Wait) -> EngineEntry:
        """See `Host`."""
        course = self._course
        asked = DurableWait(course, self._branch(name).key(name), wait)
        course.ask_wait(asked)
        try:
            entry = await asked.future
        except BaseException:
            asked.give_up()
            raise
        assert isinstance(entry, EngineEntry)
        return entry

    async def send(self, name: str, drafts: Sequence[Draft]) -> tuple[str, ...]:
        """See `Host`."""
        course = self._course
        key = self._branch(name).key(name)
        note = Note(course, key, Sent(key, tuple(drafts)))
        course.ask_wait(note)
        await note.future
        return tuple(draft.id or derived_id("evt", self.run_id, key, index) for index, draft in enumerate(drafts))

    def now_ms(self) -> int:
        """See `Host`."""
        return self._course.now_ms

    def key(self, name: str) -> str:
        """See `Host`."""
        branch = BRANCH.get()
        if branch is None or branch.turn is not self._course.turn:
            raise OnwardError(f"'{name}' was called outside of the run's own code.", code="E0111")
        return branch.key(name)

    def block(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See `Host`."""
        return self._own_threads().block(ask)

    def gather(self, calls: Sequence[Callable[[], Any]], limit: int | None = None) -> tuple[Any, ...]:
        """See `Host`."""
        return self._own_threads().gather(calls, limit)

    def _own_threads(self) -> Threads:
        if self.threads is None:
            raise OnwardError("a blocking call was made in an async function; await the durable call.", code="E0109")
        return self.threads

    def _branch(self, name: str) -> Branch:
        """Return the calling branch of this run: a call from anywhere else could have another key on a replay."""
        if hosts.in_step.get():
            raise StepInsideStep(f"'{name}' was called inside the body of a step.")
        course = self._course
        if course.is_sealed:
            raise Evicted
        branch = BRANCH.get()
        if branch is None or branch.turn is not course.turn or asyncio.get_running_loop() is not course.loop:
            raise OnwardError(f"'{name}' was called outside of the run's own tasks.", code="E0111")
        return branch

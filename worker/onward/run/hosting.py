"""The durable calls of user code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from onward_protocol.ids import derived_id
from onward_protocol.messages import (
    CallbackWait,
    Draft,
    EngineEntry,
    Invoke,
    Patched,
    Sent,
    Sleep,
    Started,
    Tagged,
    Wait,
)

from onward import host as hosts
from onward.attempt import present
from onward.errors import ConfigError, Evicted, OnwardError, StepInsideStep
from onward.host import Cursors, StepCall
from onward.replay.identity import hash_of, identity_of
from onward.replay.lineage import BRANCH, SCOPE, Branch, Scope
from onward.run.asks import DurableWait, Note
from onward.run.bodies import Step
from onward.run.moments import Alarm
from onward.run.prepared import Invocation, SealedStart, Sending
from onward.run.prompts import Answer, Opening, Prompt, Start
from onward.values.tags import TAGS_MAX

if TYPE_CHECKING:
    from onward_protocol.messages import Assign

    from onward.config import Retry
    from onward.events import Event
    from onward.function import Function
    from onward.middleware.chain import Chain
    from onward.run.course import Course
    from onward.run.threads import Threads

T = TypeVar("T")


class RunHost:
    """A run, seen from user code. Implements `Host`."""

    def __init__(self, function: Function[Any, Any], assign: Assign, course: Course) -> None:
        self.run_id: str = assign.run
        self.epoch: int = assign.epoch
        self._origins = assign.origins
        self.cursors: Cursors = Cursors(max([assign.ord, *(event.ord for event in assign.events)]))
        self.context: Any = None
        self.threads: Threads | None = None
        self.step_timeout_ms: int | None = function.timeouts.step_ms
        self._tags: dict[str, str] = {}
        self._lineage = (assign.run, *assign.origins)
        self._function = function
        self._course = course

    @property
    def retry(self) -> Retry:
        """See `Host`."""
        return self._function.retry

    @property
    def seed(self) -> str:
        """See `Host`."""
        delivered = self._course.replay.delivered
        known = zip(self._origins, self._course.journal.inherited, strict=False)
        return next((origin for origin, end in known if delivered < end), self.run_id)

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
        key = self._key(call.id, call.args, call.kwargs)
        step = Step(course, key, call, identity_of(call.args, call.kwargs))
        if course.wrapping is not None and course.wrapping.has_codecs:
            course.unread[key] = partial(step.read, course.wrapping)
        course.ask_step(step)
        try:
            entry = await step.future
        except BaseException:
            step.give_up()
            raise
        return step.result(entry)

    async def wait(self, name: str, wait: Wait, chain: Chain | None = None) -> EngineEntry:
        """See `Host`."""
        course = self._course
        key = self._key(name, wait)
        if chain is not None and chain.codecs and isinstance(wait, Invoke):
            asked: DurableWait = Invocation(course, key, wait, chain=chain, parents=self._lineage)
        else:
            asked = DurableWait(course, key, wait)
        course.ask_wait(asked)
        try:
            entry = await asked.future
        except BaseException:
            asked.give_up()
            raise
        assert isinstance(entry, EngineEntry)
        return entry

    async def send(self, name: str, drafts: Sequence[Draft], events: Sequence[Event[Any]] = ()) -> tuple[str, ...]:
        """See `Host`."""
        course = self._course
        key = self._key(name, drafts)
        id_of = partial(derived_id, "evt", self.run_id, key)
        if course.wrapping is not None and course.wrapping.has_sends:
            note: Note = Sending(course, key, partial(course.wrapping.send, events, id_of))
        else:
            note = Note(course, key, Sent(key, tuple(drafts)))
        course.ask_wait(note)
        entry = await note.future
        assert isinstance(entry, Sent)
        return tuple(draft.id or id_of(index) for index, draft in enumerate(entry.events))

    async def start(self, name: str, function: str, input: bytes, chain: Chain | None = None) -> EngineEntry:
        """See `Host`."""
        course = self._course
        started = Started(self._key(name, function, input), function, input)
        if chain is not None and chain.codecs:
            return await self._prompted(SealedStart(course, started, chain=chain, errands=course.errands))
        return await self._prompted(Start(course, started))

    async def callback(self, name: str, token: str, timeout_ms: int | None) -> tuple[EngineEntry, Answer]:
        """See `Host`."""
        course = self._course
        answer = Answer(course, self._key(name))
        course.listen(answer)
        url = f"{course.callback_url()}/c/{token}"
        entry = await self._prompted(Opening(course, answer, CallbackWait(token, timeout_ms, url)))
        return entry, answer

    async def _prompted(self, prompt: Prompt) -> EngineEntry:
        self._course.ask_wait(prompt)
        try:
            entry = await prompt.future
        except BaseException:
            prompt.give_up()
            raise
        assert isinstance(entry, EngineEntry)
        return entry

    def alarm(self, name: str, wait: Sleep, ring: Callable[[], None]) -> Alarm:
        """See `Host`."""
        alarm = Alarm(self._course, self._branch(name).key(name), wait, ring)
        self._course.ask_wait(alarm)
        return alarm

    def limit(self, name: str, wait: Sleep, error: BaseException) -> Callable[[], None]:
        """See `Host`."""
        course = self._course
        return self._own_threads().limit(
            error, lambda ring: Alarm(course, self.key(name), wait, ring), course.ask_alarm
        )

    async def patch(self, name: str) -> bool:
        """See `Host`."""
        self._branch(name)
        point, is_new = self._course.patches.ask(name)
        if is_new:
            self._course.ask_wait(point)
        mark = await asyncio.shield(point.future)
        assert isinstance(mark, Patched)
        return mark.is_on

    @contextmanager
    def scope(self, name: str) -> Generator[None]:
        """See `Host`."""
        token = SCOPE.set(Scope(self.key(f"scope:{name}")))
        try:
            yield
        finally:
            SCOPE.reset(token)

    def tag(self, tags: Mapping[str, str]) -> None:
        """See `Host`."""
        key = self._branch("ctx.tag").key("tag")
        self._tags.update(tags)
        if len(self._tags) > TAGS_MAX:
            raise ConfigError(f"ctx.tag: a run has at most {TAGS_MAX} tags, and this is one more.", code="E0105")
        if key not in self._course.journal.tagged:
            self._course.outbox.add(Tagged(dict(tags), key))

    def show(self, value: bytes) -> None:
        """See `Host`."""
        course = self._course
        outside = course.turn.outside.copy()
        if asyncio._get_running_loop() is course.loop:  # at once: the function may be about to return
            outside.run(course.show, value)
            return
        with suppress(RuntimeError):  # the loop has gone, and with it everybody who would see it
            course.loop.call_soon_threadsafe(course.show, value, context=outside)

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

    def _key(self, name: str, *what: object) -> str:
        """Return the key of a call from the run's own code; in a scope it depends on what is asked for."""
        branch, scope = self._branch(name), SCOPE.get()
        return branch.key(name) if scope is None else scope.key(name, hash_of(what))

    def _branch(self, name: str) -> Branch:
        """Return the calling branch of this run: a call from anywhere else could have another key on a replay."""
        if present.get():
            raise StepInsideStep(f"'{name}' was called {hosts.place()}.")
        course = self._course
        if course.is_sealed:
            raise Evicted
        branch = BRANCH.get()
        if branch is None or branch.turn is not course.turn or get_ident() != course.thread:
            raise OnwardError(f"'{name}' was called outside of the run's own tasks.", code="E0111")
        return branch

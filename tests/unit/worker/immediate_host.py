"""A run without an engine: every step runs at once, every wait is answered by the test."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import msgspec
from onward import Retry
from onward import host as hosts
from onward.attempt import StepAttempt, present
from onward.function import Function
from onward.host import Alarm, Answer, Cursors, StepCall
from onward_protocol.messages import Assign, Due, EngineEntry, Event, Sleep, Wait

T = TypeVar("T")


class ImmediateHost:
    """Implements `onward.host.Host`. `asked` has every durable call in order; `answer` says what a wait gets."""

    def __init__(self, *, answer: EngineEntry | None = None, ord: int = 7) -> None:
        self.run_id = self.seed = "run_1"
        self.epoch = 1
        self.replaying = False
        self.leaving = False
        self.cursors = Cursors(start=ord)
        self.retry = Retry(attempts=2)
        self.seed = "run_1"
        self.step_timeout_ms: int | None = None
        self.context: Any = None
        self.asked: list[tuple[str, Any]] = []
        self._answer = answer or Due(1, "key")
        self._keys: dict[str, int] = {}

    async def step(self, call: StepCall) -> Any:
        self.asked.append((call.id, call))
        token = present.set(StepAttempt)
        try:
            value = call.fn(*call.args, **call.kwargs)
            value = await value if asyncio.iscoroutine(value) else value
        finally:
            present.reset(token)
        return call.decode(call.encode(value))

    async def wait(self, name: str, wait: Wait, chain: object = None) -> EngineEntry:
        self.asked.append((name, wait))
        return self._answer

    async def send(self, name: str, drafts: Sequence[Any], events: Sequence[Any] = ()) -> tuple[str, ...]:
        self.asked.append((name, tuple(drafts)))
        return tuple(f"evt_{number}" for number in range(len(drafts)))

    async def start(self, name: str, function: str, input: bytes, chain: object = None) -> EngineEntry:
        self.asked.append((name, function))
        return self._answer

    async def callback(self, name: str, token: str, timeout_ms: int | None) -> tuple[EngineEntry, Answer]:
        raise NotImplementedError

    def alarm(self, name: str, wait: Sleep, ring: Callable[[], None]) -> Alarm:
        raise NotImplementedError

    def limit(self, name: str, wait: Sleep, error: BaseException) -> Callable[[], None]:
        raise NotImplementedError

    async def patch(self, name: str) -> bool:
        self.asked.append(("patch", name))
        return True

    def scope(self, name: str) -> AbstractContextManager[None]:
        self.asked.append(("scope", name))
        return nullcontext()

    def tag(self, tags: Mapping[str, str]) -> None:
        self.asked.append(("tag", dict(tags)))

    def show(self, value: bytes) -> None:
        self.asked.append(("show", value))

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def key(self, name: str) -> str:
        self._keys[name] = self._keys.get(name, 0) + 1
        return f"{name}@0#{self._keys[name]}"

    def block(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(ask())

    def gather(self, calls: Sequence[Callable[[], Any]], limit: int | None = None) -> tuple[Any, ...]:
        return tuple(call() for call in calls)


@contextmanager
def running(function: Function[Any, Any], host: ImmediateHost, **assign: Any) -> Generator[Any]:
    """Enter a run of `function` and give its context."""
    context = function.make_context(host, Assign("run_1", 1, function.id, 1, 7, **assign), assign.pop("state", None))
    host.context = context
    token = hosts.host.set(host)
    try:
        yield context
    finally:
        hosts.host.reset(token)


def event(name: str, data: object, *, ord: int = 7) -> Event:
    return Event("evt_1", name, msgspec.json.encode(data), 1_700_000_000_000, ord)

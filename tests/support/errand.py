"""What a client asks of an engine over a wire of whole messages: one question, one answer, or nobody knows."""

from __future__ import annotations

import asyncio
import contextvars

import msgspec
from msgspec import Struct
from onward.errors import EngineRefused, NotConnected
from onward_engine.commit import Refused
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming

from tests.support.link import Direction, Link
from tests.support.wire import Item, MessageLane, Wires


class Send(Struct, tag=True):
    """Accept an event."""

    event: Incoming


class Cancel(Struct, tag=True):
    """Cancel a run."""

    run: str
    cleanup_ms: int


class Pause(Struct, tag=True):
    """Hold a run."""

    run: str


class Resume(Struct, tag=True):
    """Let a held run go on."""

    run: str


class PauseFunction(Struct, tag=True):
    """Begin no new runs of a function, or begin them again."""

    function: str
    is_paused: bool


Request = Send | Cancel | Pause | Resume | PauseFunction

_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(tuple[str, ...])
_REFUSED = b"refused"


class Errand:
    """A request on its way to the engine and the ids of its runs on their way back; cut at any moment (`Connected`)."""

    def __init__(self, wires: Wires, links: tuple[Link, ...]) -> None:
        self._wires, self._links = wires, links
        self._up = MessageLane(wires, links[0], Direction.TO_SERVER)
        self._down = MessageLane(wires, links[0], Direction.TO_CLIENT)
        self._up.deliver, self._down.deliver = self._asked, self._answered
        self._up.cut = self._down.cut = self.reset
        self._answer: asyncio.Future[bytes] = wires.loop.create_future()
        self._work: asyncio.Task[None] | None = None

    async def run(self, request: Request) -> tuple[str, ...]:
        """Return the runs in question. Raises `NotConnected` if nobody knows, `EngineRefused`."""
        self._down.context = contextvars.copy_context()
        for link in self._links:
            link.connections.append(self)
        self._up.send(msgspec.json.encode(request))
        try:
            answer = await self._answer
        finally:
            for link in self._links:
                link.connections.remove(self)
        if answer == _REFUSED:
            raise EngineRefused("not now", status=503)
        return _answers.decode(answer)

    def reset(self) -> None:
        """Let nobody hear of it any more; what the engine has begun it ends."""
        self._up.close()
        self._down.close()
        if not self._answer.done():
            self._answer.set_exception(NotConnected("the connection broke"))

    def hang_up(self) -> None:
        """See `reset`."""
        self.reset()

    def break_for_client(self) -> None:
        """See `reset`."""
        self.reset()

    def under_way(self, direction: Direction) -> int:
        """Return how many bytes are under way."""
        return (self._up if direction is Direction.TO_SERVER else self._down).bytes

    def wake(self) -> None:
        """Go on after a repair."""
        if self._up.is_lossy or self._down.is_lossy:
            self.reset()
        self._up.wake()
        self._down.wake()

    def _asked(self, item: Item) -> None:
        assert isinstance(item, bytes)
        host = self._wires.door()
        if host is None:
            self.reset()
            return
        engine, context = host
        self._wires.loop.call_soon(self._begin, engine, item, context=context)

    def _begin(self, engine: Engine, request: bytes) -> None:
        self._work = asyncio.create_task(self._accept(engine, request))

    async def _accept(self, engine: Engine, request: bytes) -> None:
        try:
            runs = await _done(engine, _requests.decode(request))
        except Refused:
            self._down.send(_REFUSED)
        else:
            self._down.send(msgspec.json.encode(runs))

    def _answered(self, item: Item) -> None:
        assert isinstance(item, bytes)
        if not self._answer.done():
            self._answer.set_result(item)


async def _done(engine: Engine, request: Request) -> tuple[str, ...]:
    match request:
        case Send():
            (accepted,) = await engine.ingest.accept([request.event])
            return accepted.runs
        case Cancel():
            await engine.ingest.cancel(request.run, cleanup_ms=request.cleanup_ms)
            return (request.run,)
        case Pause():
            return (await engine.control.pause_run(request.run),)
        case Resume():
            return (await engine.control.resume_run(request.run),)
        case PauseFunction():
            await engine.control.pause_function(request.function, is_paused=request.is_paused)
            return (request.function,)

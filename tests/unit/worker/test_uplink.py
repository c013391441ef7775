"""How one connection is read and written, turn by turn. The session is a stand-in that passes everything on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from onward.connection.link import LinkLost, Refused
from onward.connection.uplink import Uplink
from onward_protocol.limits import Times
from onward_protocol.states import Phase


class Session:
    """Says what it is told to, and hears whole messages as frames."""

    phase = Phase.OPEN
    times = Times()
    deadline_ms = None
    close_code: int | None = None
    is_drained = True

    def __init__(self) -> None:
        self.said: list[bytes] = []

    @property
    def wants_write(self) -> bool:
        return bool(self.said)

    def receive(self, message: bytes, now_ms: int) -> list[bytes]:
        return [message]

    def messages_to_send(self, now_ms: int) -> list[bytes]:
        said, self.said = self.said, []
        return said

    def tick(self, now_ms: int) -> None: ...
    def lost(self, now_ms: int) -> None: ...


class Wire:
    """A link that takes everything at once."""

    def __init__(self, story: list[str]) -> None:
        self._story = story
        self._lost: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.first = b"welcome"
        self.received: Any = None

    async def receive(self) -> bytes:
        if self.first:
            first, self.first = self.first, b""
            return first
        return await self._lost

    def listen(self, received: Any) -> None:
        self.received = received

    def write(self, message: bytes) -> bool:
        self._story.append(f"write {message.decode()}")
        return True

    def cut(self) -> None:
        self._lost.set_exception(LinkLost("cut"))

    async def close(self, code: int = 1000) -> None: ...


class Talk:
    """An uplink whose owner answers each message some turns after it has come."""

    def __init__(self, turns: int) -> None:
        self.story: list[str] = []
        self.session = Session()
        self.wire = Wire(self.story)
        self._turns = turns
        self.uplink = Uplink(
            self.wire,  # type: ignore[arg-type]
            self.session,  # type: ignore[arg-type]
            clock_ms=lambda: 0,
            use=self._use,
            prepare=lambda uplink: None,
        )

    def _use(self, uplink: Uplink, frame: Any) -> None:
        if frame == b"refuse":
            raise Refused("no", code="E0405")
        if frame != b"welcome":
            self.story.append(f"take {frame.decode()}")
            self._work(frame, self._turns)

    def _work(self, frame: bytes, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._work, frame, turns - 1)
        else:
            self.session.said.append(frame)
            self.uplink.flush()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("needed", [0, 1, 2])
async def test_two_groups_of_runs_that_come_together_leave_one_after_the_other(needed: int) -> None:
    talk = Talk(needed)
    running = asyncio.create_task(talk.uplink.run())
    await turns(10)
    talk.wire.received(b"A")
    talk.wire.received(b"B")
    await turns(20)
    assert talk.story == ["take A", "write A", "take B", "write B"]
    talk.wire.cut()
    with pytest.raises(LinkLost):
        await running


async def test_a_message_does_not_wait_for_work_that_takes_long() -> None:
    talk = Talk(turns=50)
    running = asyncio.create_task(talk.uplink.run())
    await turns(10)
    talk.wire.received(b"A")
    talk.wire.received(b"B")
    await turns(10)
    assert talk.story == ["take A", "take B"]
    talk.wire.cut()
    with pytest.raises(LinkLost):
        await running


async def test_what_came_before_the_end_of_a_connection_is_used() -> None:
    talk = Talk(turns=50)
    running = asyncio.create_task(talk.uplink.run())
    await turns(10)
    talk.wire.received(b"A")
    talk.wire.received(b"B")
    talk.wire.cut()
    with pytest.raises(LinkLost):
        await running
    assert talk.story == ["take A", "take B"]


async def test_a_refusal_is_heard_although_the_engine_hangs_up_at_once() -> None:
    talks = [Talk(turns=0) for _ in range(50)]  # both are known in the same turn, and a set of futures has any order
    for talk in talks:
        talk.wire.first = b"refuse"
        talk.wire.cut()
        with pytest.raises(Refused):
            await talk.uplink.run()

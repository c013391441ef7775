"""What a benchmark sees of a worker's beats."""

from __future__ import annotations

import io

from onward_protocol.codec import encode, encode_message
from onward_protocol.messages import Beat, BeatAck

from bench.tapped import TappedLink


class Line:
    """A link that takes everything and says nothing."""

    async def receive(self) -> bytes:
        raise NotImplementedError

    def listen(self, received: object) -> None: ...

    def write(self, message: bytes) -> bool:
        return True

    async def send(self, message: bytes) -> None: ...

    async def close(self, code: int = 1000) -> None: ...

    def is_gone(self) -> bool:
        return False


class Answering(Line):
    """Answers the first beat twice, as an engine does that wants another one."""

    async def receive(self) -> bytes:
        return encode_message([encode(BeatAck(1))])


async def test_a_beat_that_is_answered_twice_is_written_down_once() -> None:
    out = io.StringIO()
    link = TappedLink(Answering(), out)
    assert link.write(encode_message([encode(Beat(1, 0, 0))]))
    await link.receive()
    await link.receive()
    assert len(out.getvalue().splitlines()) == 1

"""A worker whose beats are written down: `python -m bench.tapped FILE`.

Each line of the file is an answered beat: when it was handed to the socket, and when its answer had been read, in
nanoseconds of CLOCK_MONOTONIC. The frames are decoded once more for it, so its latencies are not the product's.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from onward import Worker
from onward.connection.dialer import Dialer
from onward.connection.link import Link
from onward.settings import Settings
from onward_protocol.codec import decode_engine_message, decode_worker_message
from onward_protocol.messages import Beat, BeatAck

from .work import functions


class TappedLink:
    """A link that looks at what passes."""

    def __init__(self, link: Link, out: TextIO) -> None:
        self._link = link
        self._out = out
        self._sent_ns: dict[int, int] = {}

    async def receive(self) -> bytes:
        message = await self._link.receive()
        self._look_in(message)
        return message

    def listen(self, received: Callable[[bytes], None]) -> None:
        def look(message: bytes) -> None:
            self._look_in(message)
            received(message)

        self._link.listen(look)

    def write(self, message: bytes) -> bool:
        is_taken = self._link.write(message)
        if is_taken:
            self._look_out(message)
        return is_taken

    async def send(self, message: bytes) -> None:
        self._look_out(message)
        await self._link.send(message)

    async def close(self, code: int = 1000) -> None:
        await self._link.close(code)

    def is_gone(self) -> bool:
        return self._link.is_gone()

    def _look_out(self, message: bytes) -> None:
        for frame in decode_worker_message(message):
            if isinstance(frame, Beat):
                self._sent_ns[frame.n] = time.monotonic_ns()

    def _look_in(self, message: bytes) -> None:
        for frame in decode_engine_message(message):
            sent_ns = self._sent_ns.pop(frame.n, None) if isinstance(frame, BeatAck) else None
            if sent_ns is not None:  # an engine that wants a beat names the last one that it has answered once more
                print(sent_ns, time.monotonic_ns(), file=self._out, flush=True)


async def run(path: Path) -> None:
    settings = Settings.read()
    dial = Dialer(settings.url, settings.token)
    with path.open("w", encoding="utf-8") as out:

        async def tapped() -> Link:
            return TappedLink(await dial(), out)

        worker = Worker(functions, dial=tapped)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))

"""The simulation at the speed of a model: the engine and the workers that ship, on wires that carry whole messages.

What the other simulation has below a message - sockets, WebSockets, HTTP, uvicorn - is left out, so that five times as
many seeds fit into a second. Everything that decides is the product's own code.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from functools import partial
from typing import cast

from msgspec import Raw
from onward.connection.link import Dial
from onward.events import Event, draft_of
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming

from tests.support.audit import leaks
from tests.support.chaos import WILD, messages_lost, messages_repeated
from tests.support.checker import violations
from tests.support.errand import Cancel, Errand, Request, Send
from tests.support.history import History
from tests.support.loop import VirtualLoop
from tests.support.network import Network
from tests.support.simulation import simulate
from tests.support.sources import stream
from tests.support.wire import Wires
from tests.support.world import PASSES_MAX, Result, World


def live(seed: int, *, keeps_trace: bool = False) -> Result:
    """Simulate one seed."""

    async def main(network: Network) -> Result:
        return await Model(seed, network, keeps_trace=keeps_trace).live()

    return simulate(main, seed=seed, shuffle=True, passes_max=PASSES_MAX)


class Model(World):
    """One simulation."""

    listens = False
    tales = (1, 3)

    def __init__(self, seed: int, network: Network, *, keeps_trace: bool) -> None:
        super().__init__(seed, network, None)
        # Never both: one lost and one repeated message look like none to whoever counts them.
        self.wild = (*WILD, stream(seed, "messages").choice((messages_lost, messages_repeated)))
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        self._wires = Wires(network, loop, stream(seed, "wires"), self._door, self._tap.overheard)
        self._wires.keeps_trace = keeps_trace

    def _door(self) -> tuple[Engine, contextvars.Context] | None:
        process = self._cluster.engine
        if process is None or process.engine is None or not process.engine._is_ready:
            return None
        with self._network.on_host(process.name):
            return process.engine, contextvars.copy_context()

    def _tapped(self, worker: str, dial: Dial) -> Dial:
        del dial
        return partial(self._wires.dial, worker)

    async def _has_worker(self) -> bool:
        process = self._cluster.engine
        return bool(process and process.engine and len(process.engine.connections))

    async def _ask(self, event: Event[object]) -> tuple[str, ...]:
        draft = draft_of(event)
        return await self._errand(Send(Incoming(name=draft.name, data=Raw(draft.data), id=draft.id)))

    async def _ask_to_cancel(self, run: str) -> None:
        await self._errand(Cancel(run, self._cancelling.choice((0, 0, 5_000))))

    async def _errand(self, request: Request) -> tuple[str, ...]:
        return await Errand(self._wires, (self._network.link("client"), self._network)).run(request)

    async def _found(self, history: History) -> list[str]:
        return [*leaks(self._cluster), *violations(history)]

    def _fingerprint(self) -> str:
        parts = (self._wires.trace, [(one.value, one.began_at_ms) for one in self._cluster.ledger.executions])
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

"""Test support: real asyncio code in virtual time, on a network in memory with faults, all from one seed.

```
async def main(network: Network) -> None:
    network.latency_ms, network.fragment_bytes = (5, 50), 100
    async with serve(app, 8288), connect("ws://127.0.0.1:8288/connect") as websocket:
        await websocket.send(b"hello")
        network.black_hole()
        await asyncio.sleep(3600)

simulate(main, seed=7)
```
"""

from tests.support.lane import Signal
from tests.support.link import Direction, Link
from tests.support.loop import Deadlock, Endless, VirtualLoop
from tests.support.network import Network, Passed
from tests.support.pipe import Pipe
from tests.support.simulation import simulate

__all__ = ["Deadlock", "Direction", "Endless", "Link", "Network", "Passed", "Pipe", "Signal", "VirtualLoop", "simulate"]

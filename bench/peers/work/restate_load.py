"""The load on Restate: HTTP requests to its ingress, on kept connections.

python -m bench.peers.work.restate_load INGRESS_URL
"""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
import uvloop

from . import load
from .steps import now_ns


async def main(ingress: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), raise_for_status=True) as session:

        async def call(function: str, argument: int) -> tuple[int, Any]:
            asked_ns = now_ns()
            async with session.post(f"{ingress}/work/{function}", json=argument) as response:
                return asked_ns, await response.json()

        await load.serve(call)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))

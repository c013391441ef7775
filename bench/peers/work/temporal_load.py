"""The load on Temporal: workflows started by its client.

python -m bench.peers.work.temporal_load ADDRESS activities|local
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

import uvloop
from temporalio.client import Client

from . import load
from .steps import now_ns
from .temporal_worker import QUEUE


async def main(address: str, steps: str) -> None:
    client = await Client.connect(address)

    async def call(function: str, argument: int) -> tuple[int, Any]:
        asked_ns = now_ns()
        arguments = [argument, steps == "local"]
        return asked_ns, await client.execute_workflow(function, args=arguments, id=str(uuid.uuid4()), task_queue=QUEUE)

    await load.serve(call)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))

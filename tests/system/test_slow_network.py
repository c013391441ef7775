"""A worker at the far end of a poor line."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import System, ledger_of, repeated, wait_for
from tests.support.slow import SlowRoad
from tests.system.apps.large import STEPS

STEP_BYTES = 20_000


def test_a_poor_line_is_slow_but_its_worker_stays_and_each_step_runs_once(tmp_path: Path) -> None:
    """0.4 s there and back, 10 kB/s: 160 kB of results take longer than the silence after which a peer is given up."""
    with System(tmp_path) as system:
        system.engine()
        with SlowRoad(system.port, latency_s=0.2, bytes_s=10_000) as road:
            worker = system.command("run", "tests.system.apps.large:functions", "--url", road.url, log="worker")
            wait_for(lambda: len(system.client.list_workers()) == 1, "the worker is connected")
            run = system.client.start("large/filled", STEP_BYTES)
            assert run.result(timeout="50s") == STEP_BYTES * STEPS
            assert repeated(ledger_of(tmp_path)) == []
            assert (road.connections, worker.poll()) == (1, None)
            worker.terminate()
            assert worker.wait(15) == 0

"""An engine with short leases, as a process of its own: `python -m tests.support.quick_engine FOLDER PORT`."""

import sys
from pathlib import Path

from onward_engine import Settings, serve
from onward_protocol.limits import Times

QUICK = Times(
    beat_ms=100,
    dead_ms=1_500,  # a busy machine takes half a second for what has to happen before
    lease_ms=1_200,
    grace_ms=100,
    adoption_ms=1_000,
    strike_min_ms=100,
    strike_max_ms=1_000,
    alone_ms=100,
)


if __name__ == "__main__":
    serve(Settings(folder=Path(sys.argv[1]), port=int(sys.argv[2]), times=QUICK))

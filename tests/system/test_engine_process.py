"""The process of an engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ENGINE = """
import gc, os, signal, sys
from pathlib import Path
from onward_engine import Settings, serve

def started(engine):
    Path(sys.argv[1], "counts").write_text(f"{gc.get_freeze_count()} {len(gc.get_objects())}")
    os.kill(os.getpid(), signal.SIGTERM)

serve(Settings(folder=Path(sys.argv[1]), port=0, dev=True), started=started)
"""


def test_no_collection_of_garbage_looks_through_what_an_engine_has_loaded(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENGINE, str(tmp_path)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    left_out, looked_at = map(int, (tmp_path / "counts").read_text().split())
    assert left_out > 10 * looked_at

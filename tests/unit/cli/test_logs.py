"""Where log lines go."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from io import StringIO

from onward_cli.logs import Steady


def test_a_reader_that_has_gone_stops_nobody() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        stream = Steady(pipe)
        print("read", file=stream, flush=True)
        os.close(reader)
        for _ in range(3):
            print("lost", file=stream, flush=True)
        assert os.fstat(stream.fileno()).st_rdev == os.stat(os.devnull).st_rdev


class FullDisk(StringIO):
    """A file on a disk without space."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_nobody() -> None:
    print("lost", file=Steady(FullDisk()), flush=True)


def test_a_traceback_in_json_shows_no_values_of_variables() -> None:
    """They are the user's data, and tokens."""
    program = """
import structlog
from onward_cli.logs import LogFormat, configure_logs
configure_logs(LogFormat.JSON, verbose=False)
def fail(token):
    raise ValueError("broken")
try:
    fail("".join(["sec", "ret"]))
except ValueError:
    structlog.get_logger().exception("failed")
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, timeout=20, stderr=subprocess.PIPE, text=True)
    assert '"name": "fail"' in told.stderr
    assert "secret" not in told.stderr

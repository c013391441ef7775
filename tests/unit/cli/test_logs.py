"""Where log lines go."""

from __future__ import annotations

import errno
import os
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

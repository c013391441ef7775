"""Asks `worker doctor`, as a script does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from onward_cli.catalogue import explanations

PROGRAM = str(Path(sys.executable).with_name("worker"))


class Found(msgspec.Struct):
    """What the doctor says."""

    failed: str | None
    status: int
    steps: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        return self.steps[-1]

    def step(self, check: str) -> dict[str, Any]:
        return next(step for step in self.steps if step["check"] == check)


def ask(*arguments: str, before: Sequence[str] = (), **environment: str) -> Found:
    """Run it, and hold what it says against its exit status and against the catalogue of errors."""
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("proxy")}
    command = [*before, PROGRAM, "doctor", "--json", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**plain, **environment})
    assert ended.stdout, ended.stderr
    found = msgspec.json.decode(ended.stdout, type=Found)
    assert found.status == ended.returncode
    if found.failed:
        assert found.last["mark"] == "failed"
        assert found.last["advice"]
        assert found.last["code"] in explanations()
    return found


def fault(found: Found) -> tuple[str | None, str, int]:
    """Return at which step the way ends, by which name, and with which status."""
    return found.failed, found.last["code"], found.status

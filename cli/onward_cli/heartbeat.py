"""How a worker shows from within its container that it lives: a file that it writes anew every second.

The file is one line of JSON, and its time is the beat. Whoever asks every few seconds, on every node, starts a process
for it: what answers imports nothing but this.
"""

from __future__ import annotations

import os
import sys
import time

VARIABLE = "ONWARD_RUN_DIR"
FILE = "health"
LIVE_S = 30
"""A beat that is older does not count: a blocked loop, or a dead process."""

LOST_MS = 60_000
"""A worker that was connected stays ready for so long without its engine: a restart of the engine is no news."""

UNHEALTHY = 1
"""What containers take for "unhealthy"; other numbers are reserved."""


def is_wanted(arguments: list[str]) -> bool:
    """Tell whether this command line asks for a worker's health and nothing else; the environment says where it is."""
    return arguments in (["probe", "live"], ["probe", "ready"]) and bool(os.environ.get(VARIABLE))


def answer(question: str, folder: str) -> int:
    """Print whether the worker of this folder is "live" or "ready". Returns the status to exit with."""
    problem = look(question, folder)
    if problem:
        print(f"not {question}: {problem}", file=sys.stderr)
        return UNHEALTHY
    print(question)
    return 0


def look(question: str, folder: str) -> str:
    """Return why a worker is not live or not ready; empty if it is. Of several, all have to be live and one ready."""
    path = os.path.join(folder, FILE)  # pathlib takes longer to import than everything else here
    try:
        names = sorted(filter(_is_beat, os.listdir(folder)))
        problems = {name: _look_at(question, os.path.join(folder, name)) for name in names}
    except OSError as error:
        return f"there is no heartbeat at {path} ({error.strerror})"
    there = {name: problem for name, problem in problems.items() if problem is not None}
    if not there:
        return f"there is no heartbeat at {path}"
    if question == "ready" and "" in there.values():
        return ""
    return next((_named(name, problem) for name, problem in there.items() if problem), "")


def _is_beat(name: str) -> bool:
    return name == FILE or (name.startswith(f"{FILE}-") and name[len(FILE) + 1 :].isdecimal())


def _look_at(question: str, path: str) -> str | None:
    """Return None for one of several that has left meanwhile."""
    try:
        with open(path, encoding="utf-8") as file:
            age_s = time.time() - os.fstat(file.fileno()).st_mtime
            return judge(question, file.read(), age_s)
    except FileNotFoundError:
        return None


def _named(name: str, problem: str) -> str:
    return problem if name == FILE else f"process {name[len(FILE) + 1 :]}: {problem}"


def judge(question: str, line: str, age_s: float) -> str:
    """Return what is wrong with a beat of this age; empty if nothing is."""
    if abs(age_s) > LIVE_S:  # of the future as well: the clock was set, and nobody knows how old it is
        return f"the last heartbeat is {abs(age_s):.0f} s {'old' if age_s > 0 else 'ahead of the clock'}"
    return _readiness(line, age_s) if question == "ready" else ""


def _readiness(line: str, age_s: float) -> str:
    import json

    beat = json.loads(line)
    if beat["state"] in {"draining", "stopped"}:
        return "it finishes its running steps and leaves"
    if beat["connection"] == "none":
        return "it was not connected yet"
    lost_ms = beat["lost_ms"] + 1000 * max(age_s, 0) if beat["connection"] == "lost" else 0
    return f"its engine is away for {lost_ms / 1000:.0f} s" if lost_ms > LOST_MS else ""

"""Pictures of what a function does with many events: played in a `TestEngine`, drawn as text, kept in the pages.

    <!-- drawn: report at Asked {"customer": "$"}, 0s ann ann bob, 4s ann, until 30s -->
    ```text
    ...
    ```
    <!-- end -->

Each word is an event that the page's function `report` starts at: `$` in its data is the word, and the picture has its
first letter. `3*ann` is three of them. The unit of `until` is the width of a character.

    PYTHONPATH=. python -m tests.support.bursts docs/throttling.md ...      # draws the pictures of these pages again
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from onward import Event
from onward.testing import TestEngine, TestRun

from tests.support.pages import Page

_PICTURE = re.compile(
    r"(<!-- drawn: (\w+) at (\w+) (\{.*?\}), (.*?), until (\d+)([smhd]) -->\n```text\n)(.*?)(```\n<!-- end -->)",
    re.DOTALL,
)
_LABELS = 10  # characters from one time to the next

_GATHERS, _WAITS, _WORKS, _SLEEPS, _DROPPED = "░·█~\N{MULTIPLICATION SIGN}"
_STATES = {
    "queued": _WAITS,
    "ready": _WAITS,
    "orphaned": _WAITS,
    "assigned": _WORKS,
    "parked": _SLEEPS,
    "skipped": _DROPPED,
    "cancelled": _DROPPED,
}
_LEGEND = {
    _GATHERS: "gathers events",
    _WAITS: "waits",
    _WORKS: "at work",
    _SLEEPS: "sleeps",
    _DROPPED: "skipped or cancelled",
}


@dataclass(frozen=True)
class Burst:
    """Who sends what and when, and how long that is watched; in units of time."""

    function: str
    event: str
    data: str
    sent: dict[int, list[str]]
    until: int
    unit: str

    async def drawn(self, page: ModuleType) -> str:
        """Return what becomes of it in the program of a page."""
        function = vars(page)[self.function]
        rows: dict[str, dict[int, str]] = defaultdict(dict)
        async with TestEngine(function) as engine:
            for at in range(self.until + 1):
                came = await self._send(engine, vars(page)[self.event].name, at)
                for run in engine.runs:
                    _draw(rows[run.id], at, came.get(run.id, ""), self._state(run))
                await engine.advance(f"1{self.unit}")
        return "\n".join(self._lines(list(rows.values()))) + "\n"

    async def _send(self, engine: TestEngine, name: str, at: int) -> dict[str, str]:
        came: dict[str, str] = {}
        for word in self.sent.get(at, ()):
            for run in await engine.send(Event(name, json.loads(self.data.replace("$", word)))):
                came[run.id] = came.get(run.id, "") + word[0]
        return came

    def _state(self, run: TestRun[Any]) -> str:
        manifest = run.function.manifest()
        gathers = run.status == "queued" and (manifest.batch or manifest.debounce)
        return _GATHERS if gathers else _STATES.get(run.status, "")

    def _lines(self, rows: list[dict[int, str]]) -> Iterator[str]:
        times = (f"{at}{self.unit}".ljust(_LABELS) for at in range(0, self.until + 1, _LABELS))
        yield f"     {''.join(times)}".rstrip()
        for number, row in enumerate(rows, 1):
            yield f"{number:>3}  {''.join(row.get(at, ' ') for at in range(self.until + 2))}".rstrip()
        words = sorted({word for words in self.sent.values() for word in words})
        told = [f"{word[0]} an event of {word}" for word in words]
        used = {char for row in rows for char in row.values()}
        yield ""
        yield "     " + "   ".join([*told, *(f"{char} {what}" for char, what in _LEGEND.items() if char in used)])


def _draw(row: dict[int, str], at: int, came: str, state: str) -> None:
    """Events hide the state of their moment. That something was dropped is shown once, at the latest a cell later."""
    is_told = _DROPPED in row.values()
    if came:
        row[at] = came if len(came) == 1 else str(len(came))
        if state == _DROPPED and not is_told:
            row[at + 1] = state
    elif state and at not in row and not (state == _DROPPED and is_told):
        row[at] = state


def bursts(page: Page) -> list[tuple[Burst, str]]:
    """Return what is played on a page, and the picture that it has of it."""
    return [(_burst(found), found[8]) for found in _PICTURE.finditer(page.text)]


def _burst(found: re.Match[str]) -> Burst:
    sent: dict[int, list[str]] = {}
    for part in found[5].split(", "):
        moment, *words = part.split()
        sent[int(moment.rstrip("smhd"))] = [word for text in words for word in _repeated(text)]
    return Burst(found[2], found[3], found[4], sent, int(found[6]), found[7])


def _repeated(text: str) -> list[str]:
    count, _, word = text.rpartition("*")
    return [word] * int(count or 1)


async def redrawn(page: Page) -> str:
    """Return a page's text with its pictures as they should be."""
    program = page.program()
    pictures = [await burst.drawn(program) for burst, _ in bursts(page)]
    return _PICTURE.sub(lambda found: found[1] + pictures.pop(0) + found[9], page.text)


def main(paths: list[str]) -> None:
    """Draw the pictures of some pages again."""
    for path in paths:
        Path(path).write_text(asyncio.run(redrawn(Page(path))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

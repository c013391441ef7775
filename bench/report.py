"""What a benchmark answers: figures beside their bars, the machine's primitives, and a checksum of the work.

A bar that is missed is printed as missed and changes nothing else; only a wrong answer is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct
from msgspec.structs import replace

RESULTS = Path("build/bench")


class Figure(Struct, frozen=True, omit_defaults=True):
    """One measured value. `ratio` is the value divided by what `to` names, measured in the same run: it carries over to
    another machine, the value does not.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    ratio: float | None = None
    to: str = ""

    def rounded(self) -> Figure:
        """Return the same without digits that mean nothing."""
        ratio = None if self.ratio is None else float(f"{self.ratio:.4g}")
        return replace(self, value=float(f"{self.value:.4g}"), ratio=ratio)

    @property
    def bar(self) -> str:
        """The bar in words, empty if there is none."""
        if self.at_most is not None:
            return f"≤ {self.at_most:,g} {self.unit}"
        return "" if self.at_least is None else f"≥ {self.at_least:,g} {self.unit}"

    @property
    def verdict(self) -> str:
        """The judgement: met, missed, or nothing to say."""
        if not self.bar:
            return ""
        is_met = self.value <= (self.at_most or 0) if self.at_least is None else self.value >= self.at_least
        return "met" if is_met else "MISSED"


class Answer(Struct, frozen=True):
    """What was found. `checksum` is of the work's verified results; `details` are for people."""

    figures: tuple[Figure, ...]
    primitives: dict[str, float]
    checksum: str
    details: dict[str, Any] = {}


class Document(Struct, frozen=True):
    """An answer with everything that it takes to read it a year later."""

    name: str
    question: str
    commit: str
    python: str
    machine: str
    at: str
    took_s: float
    settings: dict[str, int]
    answer: Answer


def main(name: str, doc: str, measure: Callable[..., Coroutine[Any, Any, Answer]], **sizes: tuple[int, int]) -> None:
    """Run one benchmark from the command line. `sizes` are its integer options: the default, and the value of
    `--smoke`.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # engine and worker are ended on the way
    settings, is_smoke = _read_settings(doc, sizes)
    begun = time.monotonic()
    answer = asyncio.run(measure(**settings))
    found = document(name, doc, settings, answer, time.monotonic() - begun)
    if not is_smoke:
        keep(found)
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def document(name: str, doc: str, settings: dict[str, int], answer: Answer, took_s: float) -> Document:
    """Return an answer with everything around it; `doc` begins with the question."""
    return Document(
        name=name,
        question=doc.split("?", maxsplit=1)[0].replace("\n", " ") + "?",
        commit=_commit(),
        python=platform.python_version(),
        machine=f"{os.cpu_count()} cores, {platform.platform()}",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(took_s, 1),
        settings=settings,
        answer=replace(answer, figures=tuple(figure.rounded() for figure in answer.figures)),
    )


def keep(document: Document) -> None:
    """Append the document to the results of its benchmark, one JSON line for each run."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{document.name}.json").open("ab") as out:
        out.write(msgspec.json.encode(document) + b"\n")


def checksum(results: Iterable[object]) -> str:
    """Return a short name for these results; the same work gives the same name."""
    total = 0
    for result in results:
        total = crc32(repr(result).encode(), total)
    return f"{total:08x}"


def check(is_right: bool, what: str) -> None:
    """Raise unless the work was done: a fast wrong answer is an error."""
    if not is_right:
        raise AssertionError(f"a wrong answer: {what}")


def table(documents: Iterable[Document]) -> str:
    """Return all figures as one table."""
    rows = [("figure", "measured", "bar", "", "ratio")]
    rows += [_row(document.name, figure) for document in documents for figure in document.answer.figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(name: str, figure: Figure) -> tuple[str, str, str, str, str]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:,.3g} x {figure.to}"
    return (f"{name}: {figure.name}", f"{figure.value:,.6g} {figure.unit}", figure.bar, figure.verdict, ratio)


def _read_settings(doc: str, sizes: dict[str, tuple[int, int]]) -> tuple[dict[str, int], bool]:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, (usual, _) in sizes.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=int, default=usual)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it still work?")
    given: dict[str, int] = vars(parser.parse_args())
    is_smoke = bool(given.pop("smoke"))
    return {option: smoke for option, (_, smoke) in sizes.items()} if is_smoke else given, is_smoke


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()

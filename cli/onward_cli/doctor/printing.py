"""Verdicts for people, a line each, and for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Final

from msgspec import to_builtins

from onward_cli.doctor.verdict import Mark, Verdict, exit_of
from onward_cli.output import printable

_SIGNS: Final = {Mark.FINE: "✓", Mark.WARNING: "!", Mark.FAILED: "✗", Mark.SKIPPED: "-"}
_PLAIN: Final = {Mark.FINE: "ok", Mark.WARNING: "!!", Mark.FAILED: "NO", Mark.SKIPPED: "--"}
_COLOURS: Final = {Mark.FINE: "32", Mark.WARNING: "33", Mark.FAILED: "1;31", Mark.SKIPPED: "2"}
_WIDTH: Final = 8


def print_verdict(verdict: Verdict) -> None:
    """Print one step, and what to do about it."""
    code = f"error[{verdict.code}]: " if verdict.code else ""
    took = f" ({verdict.took_ms:.0f} ms)" if verdict.mark is not Mark.SKIPPED and verdict.took_ms >= 1 else ""
    print(f"{_sign(verdict.mark)} {verdict.check:<{_WIDTH}}  {code}{printable(verdict.says)}{took}", flush=True)
    if verdict.advice:
        print(f"  {'':<{_WIDTH}}  help: {printable(verdict.advice)}", flush=True)


def print_json(verdicts: Sequence[Verdict]) -> None:
    """Print everything at once. `failed` is the step at which the way ends, or null."""
    broken = next((one.check for one in verdicts if one.mark is Mark.FAILED), None)
    steps = [to_builtins(one) for one in verdicts]
    print(json.dumps({"failed": broken, "status": exit_of(verdicts), "steps": steps}, indent=2, ensure_ascii=False))


def _sign(mark: Mark) -> str:
    try:
        _SIGNS[mark].encode(sys.stdout.encoding or "ascii")
        sign = _SIGNS[mark]
    except UnicodeEncodeError:
        sign = _PLAIN[mark]
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return sign if plain else f"\033[{_COLOURS[mark]}m{sign}\033[0m"

"""Judges what was set, and which way follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from onward.dialing.way import Choice
from onward.errors import ConfigError

from onward_cli.doctor.evidence import Source
from onward_cli.doctor.verdict import Check, Verdict, failed, fine
from onward_cli.exits import Exit


def judge_settings(sources: Sequence[Source], wrong: ConfigError | None = None) -> Verdict:
    """Judge whether what was set can be used at all."""
    facts = {one.name: {"value": one.value, "origin": one.origin} for one in sources}
    if wrong is not None:
        return _wrong(Check.SETTINGS, wrong, **facts)
    return fine(Check.SETTINGS, ", ".join(f"{one.name} {one.value} ({one.origin})" for one in sources), **facts)


def judge_choice(choice: Choice) -> Verdict:
    """Judge which proxy is used, if any."""
    if choice.proxy is None:
        return fine(Check.PROXY, f"none ({choice.reason})", proxy=None, reason=choice.reason)
    return fine(Check.PROXY, f"{choice.proxy} ({choice.reason})", proxy=str(choice.proxy), reason=choice.reason)


def judge_wrong_proxy(wrong: ConfigError) -> Verdict:
    """Judge a proxy's address that is none."""
    return _wrong(Check.PROXY, wrong)


def _wrong(check: Check, wrong: ConfigError, **facts: object) -> Verdict:
    return failed(check, wrong.code, wrong.message.removesuffix("."), wrong.help, status=Exit.USAGE, facts=facts)

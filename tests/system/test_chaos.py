"""Engines and workers are killed and stopped under load, and their lines disturbed, for some seconds each.

`make chaos` does the same for an hour.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.chaos.rounds import KINDS, campaign
from tests.support.postgres import why_not

FAULTS = 10
FAULTS_OF_DATABASES = 4

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes the POSIX way")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_and_nothing_stale_is_kept(kind: str, tmp_path: Path) -> None:
    if KINDS[kind].is_postgres and why_not():
        pytest.skip(why_not())
    faults = FAULTS_OF_DATABASES if KINDS[kind].is_postgres else FAULTS
    total = asyncio.run(campaign(KINDS[kind], faults, 0, tmp_path, lanes=2, per_round=faults // 2))
    again = f"again: python -m tests.chaos {kind} --kills {faults} --per-round {faults // 2} --seed 0"
    assert not total.verdict.problems, "\n".join([*total.verdict.problems, again])
    assert total.verdict.runs >= faults, "there was no load"

"""Random programs in threads whose worker dies at random points: no acknowledged step runs again, and the complete
journal replays to the same end, each thread seeing the same, without executing anything.

The threads are real, and so is the time.
"""

import asyncio
import logging

import pytest

from tests.support.threads import play_many


@pytest.fixture(autouse=True)
def quiet_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Failures are the programs' business."""
    caplog.set_level(logging.CRITICAL, logger="asyncio")
    caplog.set_level(logging.CRITICAL, logger="onward.run")


@pytest.mark.timeout(300)
def test_code_in_threads_cannot_tell_that_its_worker_died(request: pytest.FixtureRequest) -> None:
    failed = asyncio.run(play_many(range(max(20, int(request.config.option.seeds) // 4))))
    assert not failed, "\n".join(f"seed {seed}: {error!r}" for seed, error in failed.items())

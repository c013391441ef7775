"""2,000 random programs whose workers die, half on asyncio and half on uvloop; `tests/simulation` runs fewer."""

import pytest

from tests.simulation import test_replay_fuzz as few
from tests.simulation.test_replay_fuzz import quiet_logs

__all__ = ["quiet_logs"]

PROGRAMS = range(1_000)


@pytest.mark.timeout(300)
def test_2000_programs_cannot_tell_that_their_workers_died() -> None:
    few.test_user_code_on_asyncio_cannot_tell_that_its_worker_died(PROGRAMS)
    few.test_user_code_on_uvloop_cannot_tell_that_its_worker_died(PROGRAMS)

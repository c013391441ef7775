"""Random parallel programs whose worker dies at random points.

No acknowledged step runs again, no value reaches another call, every race
has the same winner, and the complete journal replays to the same end without executing anything.

Half of `--seeds` programs run on asyncio in virtual time, half on uvloop in real time. `make test` runs 2,000.
"""

import asyncio
import logging

import pytest

from tests.support.crashes import play_in_virtual_time, play_many, repeat_command


@pytest.fixture(autouse=True)
def quiet_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Programs that give tasks up make asyncio report errors that nobody looked at; that is their business."""
    caplog.set_level(logging.CRITICAL, logger="asyncio")
    caplog.set_level(logging.CRITICAL, logger="onward.run")


@pytest.fixture
def programs(request: pytest.FixtureRequest) -> range:
    return range(max(1, int(request.config.option.seeds) // 2))


@pytest.mark.timeout(300)
def test_user_code_on_asyncio_cannot_tell_that_its_worker_died(programs: range) -> None:
    for seed in programs:
        try:
            play_in_virtual_time(seed)
        except Exception as error:
            error.add_note(f"again: {repeat_command(seed, 'virtual')}")
            raise


@pytest.mark.timeout(300)
def test_middleware_that_takes_its_time_changes_nothing_about_that(programs: range) -> None:
    for seed in programs[: max(1, len(programs) // 2)]:
        try:
            play_in_virtual_time(seed, noisy=True)
        except Exception as error:
            error.add_note(f"again: {repeat_command(seed, 'noisy')}")
            raise


@pytest.mark.timeout(300)
def test_user_code_on_uvloop_cannot_tell_that_its_worker_died(programs: range) -> None:
    uvloop = pytest.importorskip("uvloop")
    failed: dict[int, BaseException] = uvloop.run(play_many(programs))
    assert not failed, "\n".join(
        f"{error!r}\nagain: {repeat_command(seed, 'uvloop')}" for seed, error in failed.items()
    )


def test_programs_beside_each_other_on_asyncio_do_not_touch() -> None:
    assert not asyncio.run(play_many(range(50)))

"""What middleware does for a run beside its code."""

import asyncio
from contextvars import copy_context

from onward.config import Retry
from onward.run.errands import Errands


class Run:
    """Stands for the run that the errands are for."""

    retry = Retry(attempts=1)

    def __init__(self) -> None:
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        self.failed.set_result(error)


async def test_what_goes_wrong_after_an_errand_fails_the_run_instead_of_letting_it_hang() -> None:
    def go_on(value: str) -> None:
        raise LookupError(value)

    async def work() -> str:
        return "it was done"

    run, loop = Run(), asyncio.get_running_loop()
    Errands(loop, copy_context(), owner=run, later=loop.call_later, settle=lambda: None).start(work, go_on)
    assert str(await asyncio.wait_for(run.failed, 5)) == "it was done"

"""What the hooks leave behind on an event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref

from onward.replay import hooks


def test_a_loop_that_is_over_is_not_kept_with_everything_that_ran_on_it() -> None:
    loop = asyncio.new_event_loop()
    hooks.install(loop)
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None

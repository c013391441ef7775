"""New ids, with this machine's time and randomness in them."""

from __future__ import annotations

import os
import time

from onward_protocol.ids import RANDOM_BYTES, Prefix, uuid7_id


def new_id(prefix: Prefix) -> str:
    """Return an id that nobody has had.

    It begins with the time, and so do the ids of the runs that come of it: the store then writes what comes in together
    side by side in its indexes, and finds it there. With random ids each event of a long queue costs a page of its own.
    """
    return uuid7_id(prefix, time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))

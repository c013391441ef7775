"""`--watch`: the same again every two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

PAUSE_S = 2.0


def repeat(show: Callable[[], None], *, is_watching: bool) -> None:
    """Show it once, or until somebody presses Ctrl-C."""
    show()
    while is_watching:
        sys.stdout.flush()
        time.sleep(PAUSE_S)
        print("\033[H\033[2J" if sys.stdout.isatty() else "", end="" if sys.stdout.isatty() else "\n")
        show()

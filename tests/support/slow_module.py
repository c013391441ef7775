"""A module that takes a second to be imported."""

import time

time.sleep(1)


def quick() -> str:
    return "done"

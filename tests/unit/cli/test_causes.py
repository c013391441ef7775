"""Why a process died, in a sentence."""

from __future__ import annotations

import pytest
from onward_cli.causes import MIB, Death, Kills, cause_of


@pytest.mark.parametrize(
    ("death", "said"),
    [
        (Death("SIGSEGV", -11), "native code has crashed"),
        (Death("SIGBUS", -7), "native code has crashed"),
        (Death("SIGABRT", -6), "native code has given up"),
        (Death("SIGKILL", -9), "killed from outside"),
        (
            Death("SIGKILL", -9, is_out_of_memory=True, container_max=512 * MIB),
            "out of memory: killed by the system at the limit of its container, 512 MiB",
        ),
        (
            Death("SIGKILL", -9, is_out_of_memory=True),
            "out of memory: killed by the system at the limit of its container",
        ),
        (Death("SIGKILL", -9, killed_because="it stood still", is_out_of_memory=True), "killed: it stood still"),
        (
            Death("SIGABRT", -6, peak=900 * MIB, address_max=1024 * MIB),
            "out of memory, probably: native code has given up near the limit of its address space, 1024 MiB",
        ),
        (Death("SIGSEGV", -11, peak=90 * MIB, address_max=1024 * MIB), "native code has crashed"),
        (Death("SIGXCPU", -24), "it has used up its processor time (RLIMIT_CPU)"),
        (Death("SIGSYS", -31), "a system call is forbidden here (seccomp)"),
        (Death("SIGTERM", -15), "ended by a signal"),
        (Death("", 3), "ended itself with status 3, as os._exit does"),
    ],
)
def test_the_cause_of_a_death_is_said_as_far_as_it_can_be_known(death: Death, said: str) -> None:
    assert cause_of(death) == said


def test_each_death_for_want_of_memory_is_told_as_such_and_later_ones_are_not() -> None:
    kills = Kills()
    assert not kills.explain(before=3, now=3)
    assert kills.explain(before=3, now=5)
    assert kills.explain(before=3, now=5), "two at once"
    assert not kills.explain(before=3, now=5)
    assert not kills.explain(before=5, now=5)
    assert kills.explain(before=5, now=6)

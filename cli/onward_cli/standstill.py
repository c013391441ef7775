"""A worker whose event loop does not turn: somebody speaks for it, what blocks it is named, and in the end it is given
up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onward_cli.witness import without_witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from onward_cli.child import Child
    from onward_cli.voice import Voice

HURRY_MS = 1_000  # loading what speaks takes up to this long: with shorter leases it has to be there before
STACK_LINES_MAX = 40

HELD_MS = 1_000
"""Whoever waits for the interpreter gets it within 5 ms, on a busy machine somewhat later. If it has not got it for so
long, C code keeps it.
"""


class Standstill:
    """What is known of one worker's standing still."""

    def __init__(self, child: Child, voice: Voice, clock_ms: Callable[[], int]) -> None:
        self._child = child
        self._voice = voice
        self._clock_ms = clock_ms
        self._is_blocked = False
        self._is_named = False
        self._silent_since_ms: int | None = None
        """When it was first seen to stand still without a stack, although it is not stopped."""

        self._is_asked = False

    def look(self) -> None:
        """Look at it now, once it has been connected."""
        child = self._child
        if child.patience_ms < HURRY_MS:
            self._voice.load()
        age_ms = child.pulse.age_ms
        if age_ms <= child.patience_ms:
            self._turns()
        else:
            self._stands_still(age_ms)

    def _stands_still(self, age_ms: int) -> None:
        child = self._child
        if not self._is_blocked:
            self._is_blocked = True
            self._voice.speak_for(child)
        if not self._is_named:
            self._name(age_ms)
        if age_ms > child.about["stall_max_ms"] and not child.is_given_up:
            self._give_up(age_ms)

    def _give_up(self, age_ms: int) -> None:
        """Whoever another one is to follow makes room for it: the container of several is not to be ended for the sake
        of one, and who was sent away cannot leave by itself.
        """
        child = self._child
        child.is_given_up = True
        self._voice.log(child).error("worker is given up, others go on with its runs", seconds=_seconds(age_ms))
        self._voice.say_bye(child, "stalled")
        if self._voice.plan.processes > 1 or child.was_sent_away:
            child.kill(f"it stood still for {_seconds(age_ms)} s")

    def _turns(self) -> None:
        if self._is_blocked:
            self._is_blocked = self._is_named = self._is_asked = self._child.is_given_up = False
            self._silent_since_ms = None
            self._voice.release(self._child)
            self._voice.log(self._child).info("event loop turns again", pid=self._child.pid)

    def _name(self, age_ms: int) -> None:
        """Say what blocks it, as soon as the stack is there; of a process that is stopped there is none."""
        child = self._child
        is_stopped, stack = child.is_stopped, without_witness(child.pulse.take_stack())
        if is_stopped:
            self._silent_since_ms = None
        elif not stack and self._waits_for_stack():
            return
        self._is_named = True
        for fields in _named(child, stack):
            event = "step blocks the event loop" if "step" in fields else "event loop is blocked"
            self._voice.log(child).warning(
                "worker is stopped" if is_stopped else event, pid=child.pid, seconds=_seconds(age_ms), **fields
            )

    def _waits_for_stack(self) -> bool:
        """Ask for it once the interpreter is known to be held. What counts is for how long that was looked on: whoever
        goes on after a pause of any length is given the time to turn.
        """
        now_ms = self._clock_ms()
        if self._silent_since_ms is None:
            self._silent_since_ms = now_ms
        silent_ms = now_ms - self._silent_since_ms
        if silent_ms >= HELD_MS and not self._is_asked:
            self._is_asked = True
            self._child.ask_for_stack()
        return silent_ms < 2 * HELD_MS


def _named(child: Child, stack: str) -> list[dict[str, Any]]:
    """Return what to say of each step that may be to blame: one if it runs on the loop, otherwise those in threads."""
    shown = {"stack": shortened(_of_loop(stack) if child.pulse.is_on_loop else stack)} if stack else {}
    names = [dict(zip(("run", "function", "step"), name, strict=True)) for name in child.pulse.now]
    return [{**name, **shown} for name in names] or [shown]


def _of_loop(stack: str) -> str:
    """Return the part of the event loop's thread, which comes last."""
    return stack.rpartition("\n\n")[2]


def shortened(stack: str) -> str:
    """Return the newest calls."""
    return "\n".join(stack.splitlines()[:STACK_LINES_MAX])


def _seconds(ms: int) -> float:
    return round(ms / 1000, 1)

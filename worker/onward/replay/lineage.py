"""Where a task stands in its run's tree of tasks: what makes the same call get the same key on every replay."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Final

from onward.errors import NonDeterminism

if TYPE_CHECKING:
    from onward.replay.turn import Turn

FRAMES_MAX: Final = 5
"""How far up asyncio's helpers are looked for: `ensure_future` is two functions, a set comprehension a third."""


class Branch:
    """A place in the tree. Children and calls are numbered in the order of the code: the same on every replay."""

    __slots__ = ("_calls", "_children", "path", "turn")

    def __init__(self, turn: Turn, path: str = "0") -> None:
        self.turn: Turn = turn
        self.path: str = path
        self._children = 0
        self._calls: dict[str, int] = {}

    def key(self, name: str) -> str:
        """Return the key of the next call of `name` in this branch."""
        number = self._calls.get(name, 0)
        self._calls[name] = number + 1
        return f"{name}@{self.path}#{number}"

    def child(self) -> Branch:
        """Return the branch of the next task or thread that is made here."""
        number = self._children
        self._children = number + 1
        return Branch(self.turn, f"{self.path}.{number}")


class Scope:
    """A place at which an integration entered.

    What it asks for inside gets a key of this place, of what it asks with, and of its number among equals: whichever of
    its tasks asks, and in whatever order it makes them.
    """

    __slots__ = ("_anchor", "_calls")

    def __init__(self, anchor: str) -> None:
        self._anchor = anchor
        self._calls: dict[str, int] = {}

    def key(self, name: str, args: int) -> str:
        """Return the key of the next call of `name` with arguments of this hash."""
        call = f"{name}@{self._anchor}:{args:08x}"
        number = self._calls.get(call, 0)
        self._calls[call] = number + 1
        return f"{call}#{number}"


SCOPE: Final[ContextVar[Scope | None]] = ContextVar("onward_scope", default=None)
"""The innermost scope that the running code is in; None outside of integrations."""

BRANCH: Final[ContextVar[Branch | None]] = ContextVar("onward_branch", default=None)
"""The branch of the running code; None outside of the user's function: in step bodies, the SDK, other tasks."""


def branch_of_new_task(parent: Branch, caller: FrameType | None) -> Branch:
    """Return the branch of a task that code in `parent` makes through `caller`, the frame that called `create_task`.

    `asyncio.wait_for` makes a task on some versions of Python only, so its task shares the parent's branch. Raises
    `NonDeterminism` for tasks whose order of creation is not decided by the code: those of `as_completed`, and those
    made outside of any task.
    """
    for _ in range(FRAMES_MAX):
        if caller is None or caller.f_globals is not _TASKS_GLOBALS:
            break
        if caller.f_code is _WAIT_FOR:
            return parent
        if caller.f_code in _AS_COMPLETED:
            raise NonDeterminism(
                "asyncio.as_completed() makes tasks in random order; use ctx.as_completed(), or give it tasks.",
                code="E0307",
            )
        caller = caller.f_back
    if asyncio.current_task(parent.turn.loop) is None:
        raise NonDeterminism(
            "a task was made in a callback of a run; make it in a task, or put the code into a step.", code="E0307"
        )
    return parent.child()


def _codes_of_as_completed() -> frozenset[CodeType]:
    code = asyncio.as_completed.__code__
    found = {code, *(const for const in code.co_consts if isinstance(const, CodeType) and const.co_name == "<setcomp>")}
    if sys.version_info >= (3, 13):  # an iterator class took the generator's place
        found.add(_TASKS_GLOBALS["_AsCompletedIterator"].__init__.__code__)
    return frozenset(found)


_TASKS_GLOBALS: Final = asyncio.wait_for.__globals__
_WAIT_FOR: Final = asyncio.wait_for.__code__
_AS_COMPLETED: Final = _codes_of_as_completed()

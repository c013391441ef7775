"""How large workers are, and what follows for the one that is too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward_cli.causes import shown
from onward_cli.fates import is_unbearable, next_to_leave

if TYPE_CHECKING:
    from onward_cli.child import Child
    from onward_cli.voice import Voice


def weigh(children: Sequence[Child], memory_max: int, voice: Voice) -> None:
    """Send the one away that is above the limit: it finishes its steps, hands its runs back, and another one takes its
    place. One that is far above is killed.
    """
    sizes = {child.number: child.memory for child in children}
    number = next_to_leave(sizes, memory_max, leaving=sum(child.was_sent_away for child in children))
    for child in children:
        size = sizes[child.number]
        if child.number == number:
            voice.log(child).warning(
                "worker is too large, another one takes its place",
                pid=child.pid,
                memory=shown(size),
                limit=shown(memory_max),
            )
            child.send_away()
        if is_unbearable(size, memory_max):
            child.kill(f"{shown(size)} are far above --max-memory")

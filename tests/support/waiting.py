"""Say in words who waits, and where."""

import asyncio
from collections.abc import Iterable
from types import CoroutineType, FrameType
from typing import Any


def describe(headline: str, tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return the headline followed by one line for each task: its name, its coroutine, and the line that waits."""
    lines = [f"  {task.get_name()}: {_name(task)} {_place(task)}" for task in tasks]
    return "\n".join([f"{headline}; unfinished tasks:", *(lines or ["  none"])])


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


def _place(task: asyncio.Task[Any]) -> str:
    frame = _innermost(task.get_coro())
    return f"at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def _innermost(awaited: object) -> FrameType | None:
    frame: FrameType | None = None
    while isinstance(awaited, CoroutineType):
        frame, awaited = awaited.cr_frame or frame, awaited.cr_await
    return frame

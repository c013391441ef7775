"""The answer to `ctx.patch` in an async function."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, NoReturn

from onward.errors import ConfigError


class Patch:
    """Await it: `if await ctx.patch("new-prices"):`. By itself it is neither true nor false."""

    def __init__(self, name: str, answer: Coroutine[Any, Any, bool]) -> None:
        self._name = name
        self._answer = answer

    def __await__(self) -> Generator[Any, Any, bool]:
        return self._answer.__await__()

    def __bool__(self) -> NoReturn:
        self._answer.close()
        raise ConfigError(f"ctx.patch('{self._name}') is asked without `await`.", code="E0310")

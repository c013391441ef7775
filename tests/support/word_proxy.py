"""A proxy that breaks a connection at a word in what is said, such as the COMMIT of a transaction."""

from __future__ import annotations

import asyncio
from typing import Literal

from tests.support.link import Direction
from tests.support.proxy import Proxy

Place = Literal["request", "answer"]


class WordProxy(Proxy):
    """Once told to, it cuts at the next request that has `word` in it: before the server sees it, or after the server
    has answered it and before the client hears of that.
    """

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.cuts = 0
        self._word = b""
        self._place: Place = "request"
        self._is_answered = False

    def cut_at(self, word: bytes, place: Place) -> None:
        self._word, self._place, self._is_answered = word, place, False

    def _passes(self, data: bytes, writer: asyncio.StreamWriter, way: Direction) -> bool:
        if self._word and way is Direction.TO_SERVER and self._word in data:
            if self._place == "request":
                return self._cut()
            self._is_answered = True
        elif way is Direction.TO_CLIENT and self._is_answered:
            return self._cut()
        return super()._passes(data, writer, way)

    def _cut(self) -> bool:
        self.cuts += 1
        self._word, self._is_answered = b"", False
        return False

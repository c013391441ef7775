"""A SOCKS5 proxy on loopback that knows all names as this machine."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter

from tests.support.tunnel import Tunnels

CONNECT, BY_NAME = 1, 3


class Socks(Tunnels):
    """The same in the words of SOCKS5. It does not take addresses: names are to be resolved here."""

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Open one tunnel for whoever is let in."""
        if await self._let_in(reader, writer):
            _, command, _, kind = await reader.readexactly(4)
            assert (command, kind) == (CONNECT, BY_NAME), "it asks to connect to a name"
            name = await _text(reader)
            port = int.from_bytes(await reader.readexactly(2), "big")
            self.asked.append(f"{name}:{port}")
            await self.join(reader, writer, port, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")

    async def _let_in(self, reader: StreamReader, writer: StreamWriter) -> bool:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        if self._words == ("", ""):
            writer.write(b"\x05\x00")
            return True
        if 2 not in offered:
            writer.write(b"\x05\xff")
            return False
        writer.write(b"\x05\x02")
        await reader.readexactly(1)
        is_right = (await _text(reader), await _text(reader)) == self._words
        writer.write(b"\x01\x00" if is_right else b"\x01\x01")
        return is_right


async def _text(reader: StreamReader) -> str:
    [length] = await reader.readexactly(1)
    return (await reader.readexactly(length)).decode()

"""Request bodies, read under a limit."""

from __future__ import annotations

from onward_protocol.limits import KIB, MIB
from starlette.types import Receive

from .problem import Problem


class Gone(Exception):
    """The client went away before its request was whole."""


async def read_body(receive: Receive, bytes_max: int) -> bytes:
    """Return the whole body. Raises `Problem` 413 as soon as it is too large, `Gone` if the client went away."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            allowed = f"{bytes_max // MIB} MiB" if bytes_max >= MIB else f"{bytes_max // KIB} KiB"
            raise Problem(413, "too_large", f"The request is larger than {allowed}.")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)

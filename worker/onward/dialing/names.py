"""The addresses of names. The system's resolver blocks, cannot be cancelled, and may take longer than an attempt to
connect: its first server may be dead.

So a look-up goes on when its attempt is given up, and the next attempt waits for the same one. It has a thread of its
own: steps may hold all of the loop's, and then a lost connection would never come back. A program that ends does not
wait for it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from concurrent.futures import Future
from typing import Any, Final

from onward.dialing.bypass import address_of

Addresses = list[tuple[Any, ...]]

_lock: Final = threading.Lock()
_under_way: Final[dict[tuple[str, int], Future[Addresses]]] = {}


async def resolve(host: str, port: int) -> Addresses:
    """Return the addresses of a host, in the order in which they are to be tried. Raises `OSError`."""
    if address_of(host) is not None:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    return await asyncio.wrap_future(_looked_up(host, port))


def _looked_up(host: str, port: int) -> Future[Addresses]:
    with _lock:
        found = _under_way.get((host, port))
        if found is None:
            found = _under_way[host, port] = _begun(host, port)
        return found


def _begun(host: str, port: int) -> Future[Addresses]:
    found = Future[Addresses]()
    found.set_running_or_notify_cancel()  # from here on nobody who gives up cancels it for the others
    thread = threading.Thread(target=_look_up, args=(host, port, found), name="onward-resolve", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # a container has as many as it may have
        raise OSError(errno.EAGAIN, "no thread is left to look its name up") from error
    return found


def _look_up(host: str, port: int, found: Future[Addresses]) -> None:
    try:
        addresses = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except BaseException as error:  # noqa: BLE001 - it is raised by whoever waits
        _forget(host, port)
        found.set_exception(error)
    else:
        _forget(host, port)
        found.set_result(addresses)


def _forget(host: str, port: int) -> None:
    """The next attempt looks it up anew."""
    with _lock:
        del _under_way[host, port]

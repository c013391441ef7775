"""Large payloads are kept elsewhere, and only their name goes to the engine."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from onward.errors import ConfigError, OnwardError
from onward.middleware.base import Middleware, PayloadInfo
from onward.middleware.blobs import BlobStore
from onward.middleware.marks import Mark

THRESHOLD_BYTES: Final = 262_144
_MARK: Final = Mark("$blob")


class ClaimCheck(Middleware):
    """Puts payloads of `threshold` bytes and more into `store`, under the SHA-256 of their bytes.

    The engine's limits then count for the name only. Encryption has to come after it in the list, nearer to the code:
    what is stored is what the middleware further inside has made.
    """

    def __init__(self, store: BlobStore, threshold: int = THRESHOLD_BYTES) -> None:
        if threshold < 1:
            raise ConfigError(f"ClaimCheck: a threshold of {threshold} bytes is not possible.", code="E0105")
        self._store: Final = store
        self._threshold: Final = threshold

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Return the payload, or the name under which it is stored now."""
        if len(payload) < self._threshold:
            return payload
        name = sha256(payload).hexdigest()
        await self._store.put(name, payload)
        return _MARK.put(name)

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Return what the payload names. Raises what the store raises, and `OnwardError` for a changed blob."""
        if not _MARK.is_on(payload):
            return payload
        name = str(_MARK.value(payload))
        data = await self._store.get(name)
        if sha256(data).hexdigest() != name:
            raise OnwardError(f"the blob {name} has other bytes than were stored.", code="E0205")
        return data

"""Payloads that only workers and clients with the key can read: AES-256-GCM. Needs `pip install 'onward[crypto]'`."""

from __future__ import annotations

import binascii
import os
from base64 import b64decode
from collections.abc import Collection, Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from onward.errors import ConfigError, OnwardError
from onward.middleware.base import Middleware, PayloadInfo
from onward.middleware.marks import Mark

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_ID_BYTES_MAX: Final = 64
_MARK: Final = Mark("$encrypted")
_VERSION: Final = 1
_BODY_BYTES_MIN: Final = 2 + NONCE_BYTES + TAG_BYTES


class CannotDecrypt(OnwardError):
    """A payload was encrypted with a key that is not here, for something else, or was changed."""

    code = "E0203"
    retryable = False


class Encryption(Middleware):
    """Encrypts the results of steps, the inputs and results of runs, and the data of failures, before they leave the
    process.

    `keys` are 32 bytes each, or base64 of them, by an id that is stored with each payload. The first that is not in
    `decrypt_only` encrypts; without one nothing is encrypted, only read. To change a key, first let every worker and
    client know the new one as `decrypt_only`, then put it first; the old one is needed as long as payloads of it are
    read.

    Names, ids, tags, events, and the messages and stacks of errors are not encrypted.
    """

    def __init__(self, keys: Mapping[str, bytes | str], *, decrypt_only: Collection[str] = ()) -> None:
        unknown = sorted(set(decrypt_only) - set(keys))
        if not keys or unknown:
            problem = (
                f"'decrypt_only' names {', '.join(unknown)}, which 'keys' has not" if unknown else "it has no keys"
            )
            raise ConfigError(f"Encryption: {problem}.", code="E0105")
        self._ciphers: Final = {id: AESGCM(_key(id, key)) for id, key in keys.items()}
        self._writer: Final = next((id for id in keys if id not in decrypt_only), None)

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Return the payload encrypted for its place: elsewhere it cannot be read."""
        if self._writer is None:
            return payload
        head = _head(self._writer)
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._writer].encrypt(nonce, payload, head + _place(info, info.run))
        return _MARK.put(head + nonce + sealed)

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Return what was encrypted; what was not comes back as it is. Raises `CannotDecrypt`."""
        if not _MARK.is_on(payload):
            return payload
        body = _body(payload)
        if len(body) < _BODY_BYTES_MIN or body[0] != _VERSION:
            raise CannotDecrypt(f"{_name(info)} was encrypted in a way that this version does not know.")
        head, rest = body[: 2 + body[1]], body[2 + body[1] :]
        key_id = head[2:].decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(f"'{id}'" for id in self._ciphers)
            raise CannotDecrypt(f"{_name(info)} was encrypted with the key '{key_id}'; here are only {known}.")
        for run in (info.run, *info.origins):
            try:
                return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], head + _place(info, run))
            except InvalidTag:
                continue
        raise CannotDecrypt(
            f"{_name(info)} cannot be decrypted with the key '{key_id}': that is another key of this name, or the "
            "payload was changed or belongs elsewhere."
        )


def _key(id: str, key: bytes | str) -> bytes:
    if not 1 <= len(id.encode()) <= KEY_ID_BYTES_MAX:
        raise ConfigError(f"Encryption: the key id {id!r} is not 1 to {KEY_ID_BYTES_MAX} bytes long.", code="E0105")
    try:
        raw = b64decode(key, validate=True) if isinstance(key, str) else key
    except (binascii.Error, ValueError):
        raise ConfigError(f"Encryption: the key '{id}' is not base64.", code="E0105") from None
    if len(raw) != KEY_BYTES:
        raise ConfigError(f"Encryption: the key '{id}' has {len(raw)} bytes, not {KEY_BYTES}.", code="E0105")
    return raw


def _head(key_id: str) -> bytes:
    name = key_id.encode()
    return bytes([_VERSION, len(name)]) + name


def _place(info: PayloadInfo, run: str) -> bytes:
    """What a payload is for, authenticated with it. A step is called by its run and key, and by nothing that a new
    version of the code could change.
    """
    owner = (run, info.key) if info.kind == "step" else (run, info.function)
    return "\0".join((info.kind, *owner)).encode()


def _name(info: PayloadInfo) -> str:
    if info.kind == "step":
        return f"the result of step '{info.key}' of run {info.run}"
    return f"the {info.kind} of function '{info.function}'"


def _body(payload: bytes) -> bytes:
    """Return what was encrypted; JSON has it as base64. Empty if it is neither."""
    try:
        value: object = _MARK.value(payload)
        return b64decode(value) if isinstance(value, str) else value if isinstance(value, bytes) else b""
    except (msgspec.MsgspecError, ValueError):
        return b""

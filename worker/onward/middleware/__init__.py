"""Middleware: the base class, and what comes with Onward. The latter is loaded when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onward.middleware.base import Middleware, Next, PayloadInfo, RunInfo, SendNext, StepInfo, WorkerInfo

if TYPE_CHECKING:
    from onward.middleware.blobs import BlobStore, FileBlobStore
    from onward.middleware.claim_check import ClaimCheck
    from onward.middleware.encryption import CannotDecrypt, Encryption
    from onward.middleware.logs import StructLog
    from onward.middleware.sentry import Sentry
    from onward.middleware.tracing import OpenTelemetry

__all__ = [
    "BlobStore",
    "CannotDecrypt",
    "ClaimCheck",
    "Encryption",
    "FileBlobStore",
    "Middleware",
    "Next",
    "OpenTelemetry",
    "PayloadInfo",
    "RunInfo",
    "SendNext",
    "Sentry",
    "StepInfo",
    "StructLog",
    "WorkerInfo",
]

_LAZY = {
    "BlobStore": "onward.middleware.blobs",
    "CannotDecrypt": "onward.middleware.encryption",
    "ClaimCheck": "onward.middleware.claim_check",
    "Encryption": "onward.middleware.encryption",
    "FileBlobStore": "onward.middleware.blobs",
    "OpenTelemetry": "onward.middleware.tracing",
    "Sentry": "onward.middleware.sentry",
    "StructLog": "onward.middleware.logs",
}


if not TYPE_CHECKING:  # to a type checker it would say that every name exists

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module 'onward.middleware' has no attribute '{name}'")
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)

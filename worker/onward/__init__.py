"""Onward: Python functions that run durably.

functions = App("shop")

@step
async def charge(order: Order) -> Decimal: ...

@functions.on(OrderPlaced)
async def process(ctx: Context[Order]) -> Decimal:
    return await charge(ctx.data)          # runs once, however often a worker dies
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onward.app import App
from onward.attempt import StepAttempt, current_step
from onward.callback import Callback, SyncCallback
from onward.checkpoint import Checkpoint
from onward.config import CancelOn, Retry, Timeouts
from onward.context import Context
from onward.cron import Cron, Tick
from onward.durations import Duration
from onward.errors import (
    CodecError,
    ConfigError,
    Evicted,
    InvokeFailed,
    NonDeterminism,
    NonRetryable,
    NotConnected,
    OnwardError,
    PayloadTooLarge,
    ProcessDied,
    RetryAfter,
    RunCancelled,
    RunFailed,
    StepFailed,
    StepInsideStep,
    StepTimeout,
    WorkerLost,
)
from onward.events import Event, EventType
from onward.flow import (
    Batch,
    Concurrency,
    Debounce,
    Fair,
    Idempotency,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
)
from onward.function import Function
from onward.middleware.base import Middleware, RunInfo, StepInfo
from onward.parallel import Winner
from onward.running import current
from onward.scene import StartedRun
from onward.step import AsyncStep, SyncStep, step
from onward.sync_context import SyncContext
from onward.trigger import Trigger
from onward.values.serde import register_type

if TYPE_CHECKING:
    from onward.client import Client, RunHandle
    from onward.sync_client import SyncClient, SyncRunHandle
    from onward.worker import Worker

__all__ = [
    "App",
    "AsyncStep",
    "Batch",
    "Callback",
    "CancelOn",
    "Checkpoint",
    "Client",
    "CodecError",
    "Concurrency",
    "ConfigError",
    "Context",
    "Cron",
    "Debounce",
    "Duration",
    "Event",
    "EventType",
    "Evicted",
    "Fair",
    "Function",
    "Idempotency",
    "InvokeFailed",
    "Middleware",
    "NonDeterminism",
    "NonRetryable",
    "NotConnected",
    "OnwardError",
    "PayloadTooLarge",
    "Priority",
    "ProcessDied",
    "RateLimit",
    "Retry",
    "RetryAfter",
    "RunCancelled",
    "RunFailed",
    "RunHandle",
    "RunInfo",
    "Singleton",
    "StartedRun",
    "StepAttempt",
    "StepFailed",
    "StepInfo",
    "StepInsideStep",
    "StepTimeout",
    "SyncCallback",
    "SyncClient",
    "SyncContext",
    "SyncRunHandle",
    "SyncStep",
    "Throttle",
    "Tick",
    "Timeouts",
    "Trigger",
    "Winner",
    "Worker",
    "WorkerLost",
    "current",
    "current_step",
    "register_type",
    "step",
]

_LAZY = {
    "Client": "onward.client",
    "RunHandle": "onward.client",
    "SyncClient": "onward.sync_client",
    "SyncRunHandle": "onward.sync_client",
    "Worker": "onward.worker",
}
"""Loaded when they are first asked for: a worker needs no HTTP client, and a client no WebSocket."""


if not TYPE_CHECKING:  # to a type checker it would say that every name exists

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module 'onward' has no attribute '{name}'")
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)

"""Onward's engine: it keeps events, runs and results, and hands work to the workers that dial in.

Engine, serve, Settings                  run one
StoreError, StoreRefused, StoreBroken    why it cannot, or can no longer
CannotListen                             why its port cannot be used
"""

from .engine import Engine, serve
from .settings import Settings
from .store.port import StoreBroken, StoreError, StoreRefused
from .web import CannotListen

__all__ = ["CannotListen", "Engine", "Settings", "StoreBroken", "StoreError", "StoreRefused", "serve"]

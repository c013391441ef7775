"""The functions of all files about flow control, for workers that several tests share."""

from __future__ import annotations

from onward import App

from tests.acceptance import (
    test_flow_batch,
    test_flow_changes,
    test_flow_concurrency,
    test_flow_debounce,
    test_flow_fair,
    test_flow_idempotency,
    test_flow_priority,
    test_flow_rate,
    test_flow_singleton,
    test_flow_throttle,
)

functions = App("flows")
for area in (
    test_flow_batch,
    test_flow_changes,
    test_flow_concurrency,
    test_flow_debounce,
    test_flow_fair,
    test_flow_idempotency,
    test_flow_priority,
    test_flow_rate,
    test_flow_singleton,
    test_flow_throttle,
):
    functions.include(area.functions)

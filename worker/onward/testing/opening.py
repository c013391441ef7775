"""What a test sees of payloads that middleware has made others of: what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from onward_engine.model import Run, StepView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onward_protocol.messages import Failure

    from onward.middleware.base import PayloadInfo
    from onward.middleware.chain import Chain


async def opened_run(chain: Chain | None, run: Run) -> Run:
    """Return the run with its output and failure as they were."""
    if chain is None or not run.status.is_terminal:
        return run
    output = await _opened(chain, run.output, chain.about("output", run.id))
    return replace(run, output=output, failure=await _opened_failure(chain, run.failure))


async def opened_steps(chain: Chain | None, run: Run, steps: Sequence[StepView]) -> list[StepView]:
    """Return the steps with their results as they were."""
    if chain is None or not chain.codecs:
        return list(steps)
    return [await _opened_step(chain, run, step) for step in steps]


async def _opened_step(chain: Chain, run: Run, step: StepView) -> StepView:
    if step.kind != "step" or step.output is None:
        return step
    return replace(step, output=await _opened(chain, step.output, chain.about("step", run.id, step.key, run.origins)))


async def _opened_failure(chain: Chain, failure: Failure | None) -> Failure | None:
    if failure is None:
        return failure
    return replace(failure, data=await _opened(chain, failure.data, chain.about("failure")))


async def _opened(chain: Chain, payload: bytes, info: PayloadInfo) -> bytes:
    """Return what the payload says; one that cannot be read is what a test may be about, and stays as it is."""
    try:
        return await chain.decode(payload, info) if payload else payload
    except Exception:  # noqa: BLE001 - whatever middleware raises
        return payload

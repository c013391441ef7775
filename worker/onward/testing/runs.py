"""A run as a test sees it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
from onward_engine.model import Run, StepView

from onward.calls import RunStatus
from onward.errors import from_failure

if TYPE_CHECKING:
    from onward.function import Function

O = TypeVar("O")  # noqa: E741 - output


class TestRun(Generic[O]):
    """What became of a run, as of the last `send`, `start` or `advance`. `executions` counts how often each step's body
    really ran.
    """

    __test__ = False  # not a test, whatever its name

    def __init__(self, id: str, function: Function[Any, O], executions: Counter[str]) -> None:
        self.id = id
        self.function = function
        self.executions = executions
        self._run: Run | None = None
        self._steps: list[StepView] = []
        self._progress: bytes | None = None

    def __repr__(self) -> str:
        return f"TestRun({self.id!r}, {self.status!r})"

    @property
    def status(self) -> RunStatus:
        """Where the run is."""
        return cast("RunStatus", str(self._known().status))

    @property
    def output(self) -> O:
        """The result, with the type that the function returns. Raises the run's error if it failed, `AssertionError` if
        it is not over.
        """
        if self.error is not None:
            raise self.error
        assert self.status == "completed", (
            f"run {self.id} of {self.function.id} is {self.status}; it waits for {self.waits}"
        )
        return self.function.read_output(self._known().output)

    @property
    def error(self) -> Exception | None:
        """Why the run failed; None if it did not."""
        failure = self._known().failure
        return None if failure is None else from_failure(failure, name=self.id)

    @property
    def reason(self) -> str:
        """Why the run is cancelled or was skipped; empty if it is not."""
        return self._known().cancel_reason or ""

    @property
    def steps(self) -> dict[str, Any]:
        """The results of finished steps by key, as plain data."""
        return {
            view.key: msgspec.msgpack.decode(view.output)
            for view in self._steps
            if view.kind == "step" and view.output is not None
        }

    @property
    def executed(self) -> list[str]:
        """The keys of the steps whose bodies ran, in the order of their first start."""
        return list(self.executions)

    @property
    def waits(self) -> list[str]:
        """The keys of what the run waits for now."""
        return [view.key for view in self._steps if view.status == "waiting"]

    @property
    def tags(self) -> dict[str, str]:
        """The words by which people find the run."""
        return dict(self._known().tags)

    @property
    def progress(self) -> Any:
        """How far the run has said it is, as plain data; None if it has not."""
        return None if self._progress is None else msgspec.msgpack.decode(self._progress)

    @property
    def sends(self) -> list[str]:
        """The keys under which the run has sent events."""
        return [view.key for view in self._steps if view.kind == "send"]

    def _known(self) -> Run:
        assert self._run is not None, "the engine has not been looked at yet"
        return self._run

    def update(self, run: Run, steps: list[StepView], progress: bytes | None = None) -> None:
        """Take over what the engine knows now."""
        self._run, self._steps, self._progress = run, steps, progress

"""What user code, and the person who runs it, can meet.

    BaseException
      Evicted                  the run leaves this worker; it goes on elsewhere (not for user code to catch)
      asyncio.CancelledError
        RunCancelled           the run was cancelled; it has a moment to clean up
    Exception
      OnwardError
        NonRetryable           raised by user code: stop retrying
        RetryAfter             raised by user code: retry, but not before so long
        WorkFailed             something failed for good elsewhere: `type`, `message`, `data`, `attempts`
          StepFailed           a step, where it was called
          InvokeFailed         a child run, where it was invoked
          RunFailed            a run, where somebody asks for its result
        WorkerLost             the attempt's worker died with it
        StepTimeout            the attempt took longer than it may
        ProcessDied            the process that executed the attempt has died
        CodecError             a value cannot be encoded or decoded
        PayloadTooLarge        a value is larger than the engine keeps
        NonDeterminism         the code asks for something else than it did before
        StepInsideStep         a durable call inside a step's body
        ConfigError            a declaration is wrong; found before anything runs
        NotConnected           the engine cannot be reached
        EngineRefused          the engine said no, and why

Control flow derives from `BaseException`, so that `except Exception` in user code cannot swallow it. Each code has one
sentence in `HELP` that says what to do next.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import Any, ClassVar, Final

import msgspec
from onward_protocol.messages import Failure

from onward.durations import DAY_MS, Duration, duration_ms
from onward.help import HELP

MESSAGE_CHARS_MAX: Final = 8_192
STACK_CHARS_MAX: Final = 16_384
"""A failure stands in the journal and in lists: enough of it to find the cause, not a log file."""


class Evicted(BaseException):
    """The run leaves this worker and goes on elsewhere. Raised by every durable call from then on; let it pass."""


class RunCancelled(asyncio.CancelledError):
    """The run was cancelled. Steps in `finally` blocks are still kept until the clean-up time is over."""


class OnwardError(Exception):
    """Base of all errors of the SDK. `code` is stable, and `help` says what to do about it."""

    code: str = ""
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, code: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        if code:
            self.code = code

    @property
    def help(self) -> str:
        """One sentence with the next action; empty if the code has none."""
        return HELP.get(self.code, "")

    def __str__(self) -> str:
        return f"{self.message.removesuffix('.')}. {self.help}" if self.help else self.message


class NonRetryable(OnwardError):
    """Raise it in a step or function that must not be tried again. `data` is plain data, kept with the failure."""

    retryable = False

    def __init__(self, message: str, *, data: Any = None) -> None:
        super().__init__(message)
        self.data = data


class RetryAfter(OnwardError):
    """Raise it in a step to be tried again after `delay` (at most 24 h) instead of the policy's back-off; it uses up an
    attempt.
    """

    def __init__(self, delay: Duration, message: str = "asked to be retried later") -> None:
        super().__init__(message)
        try:
            self.delay_ms: int = min(duration_ms(delay), DAY_MS)
        except ValueError as error:
            raise ValueError(f"RetryAfter, option 'delay': {error}") from error


class WorkFailed(OnwardError):
    """Something failed for good elsewhere. `type` is the name of the original exception's class, which need not exist
    here.
    """

    kind: ClassVar[str] = "work"

    def __init__(self, name: str, type: str, message: str, *, data: Any = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.name = name
        self.type = type
        self.data = data
        self.attempts = attempts

    def __str__(self) -> str:
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{self.kind} '{self.name}' failed{tries}: {self.type}: {self.message}"


class StepFailed(WorkFailed):
    """A step failed for good. Caught, the run goes on; uncaught, the run fails."""

    code = "E0301"
    kind = "step"


class InvokeFailed(WorkFailed):
    """An invoked function failed, was cancelled, or did not end in time (`type` is then "TimedOut")."""

    code = "E0302"
    kind = "invoked function"


class RunFailed(WorkFailed):
    """A run ended without a result: failed, cancelled (`type` is then "RunCancelled"), or skipped ("RunSkipped")."""

    code = "E0303"
    kind = "run"


class WorkerLost(OnwardError):
    """The worker died while it ran this attempt."""

    code = "E0304"


class StepTimeout(OnwardError):
    """An attempt took longer than the step's `timeout`, or gave no heartbeat for so long."""

    code = "E0309"


class ProcessDied(OnwardError):
    """The process that executed an attempt, as the step's `executor="process"` asks for, has died in the middle."""

    code = "E0311"


class CodecError(OnwardError):
    """A value cannot be encoded, or stored bytes do not fit the annotation that they are read with."""

    code = "E0201"


class PayloadTooLarge(OnwardError):
    """An encoded value is larger than the engine keeps."""

    code = "E0202"
    retryable = False


class NonDeterminism(OnwardError):
    """The code asks for something else than it did before a crash."""

    code = "E0305"
    retryable = False


class StepInsideStep(OnwardError):
    """A durable call was made inside a step's body."""

    code = "E0306"
    retryable = False


class ConfigError(OnwardError):
    """A declaration or an option is wrong. `where` is the place in the source, if it is known."""

    retryable = False


class NotConnected(OnwardError):
    """The engine cannot be reached."""

    code = "E0401"


class EngineRefused(OnwardError):
    """The engine answered with an error. `status` is the HTTP status, `code` the engine's own."""

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message, code=code)
        self.status = status


class _Detail(msgspec.Struct, array_like=True):
    """The fields of a `WorkFailed` inside a failure's `data`."""

    name: str
    type: str
    message: str
    data: Any = None
    attempts: int = 1


_PLAIN: Final[dict[str, type[OnwardError]]] = {
    cls.__name__: cls
    for cls in (
        WorkerLost,
        StepTimeout,
        ProcessDied,
        CodecError,
        PayloadTooLarge,
        NonDeterminism,
        StepInsideStep,
        ConfigError,
        NotConnected,
    )
}
_WORK: Final[dict[str, type[WorkFailed]]] = {cls.__name__: cls for cls in (StepFailed, InvokeFailed, RunFailed)}


def failure_of(exc: BaseException) -> Failure:
    """Return `exc` in words that survive this process. Never raises: data without an encoding is kept as its `repr`."""
    return Failure(
        type=type(exc).__name__,
        message=_kept(_text_of(exc), MESSAGE_CHARS_MAX),
        data=_data_of(exc),
        stack=_kept("".join(traceback.format_exception(exc)), STACK_CHARS_MAX),
    )


def from_failure(failure: Failure, *, name: str = "") -> Exception:
    """Return the error of a failed run: the SDK's own class if it was one, otherwise a `RunFailed` that names the
    original class.
    """
    if failure.type == NonRetryable.__name__:
        return NonRetryable(failure.message, data=_read(failure.data))
    if failure.type in _PLAIN:
        return _restored(_PLAIN[failure.type], failure.message)
    if failure.type in _WORK and failure.data and (known := _work_failed(_WORK[failure.type], failure.data)):
        return known
    return RunFailed(name, failure.type, failure.message, data=_read(failure.data))


def step_failed(failure: Failure, *, step: str, attempts: int = 1) -> StepFailed:
    """Return what code that called the step `step` gets when it failed for good."""
    return StepFailed(step, failure.type, failure.message, data=_read(failure.data), attempts=attempts)


def invoke_failed(failure: Failure, *, function: str) -> InvokeFailed:
    """Return what code that invoked `function` gets when the child run failed."""
    return InvokeFailed(function, failure.type, failure.message, data=_read(failure.data))


def _text_of(exc: BaseException) -> str:
    """Return the exception's message; an exception whose own `__str__` fails must not hide what it reports."""
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - the class belongs to the user
        return f"<{type(exc).__name__} without a readable message>"


def _kept(text: str, chars_max: int) -> str:
    """Return a text of any length and any characters as one that can be written: half a pair has no encoding."""
    return _clipped(text, chars_max).encode(errors="backslashreplace").decode()


def _clipped(text: str, chars_max: int) -> str:
    """Keep both ends: a stack's last lines name the error, a message's first ones say what it is about."""
    if len(text) <= chars_max:
        return text
    half = chars_max // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _data_of(exc: BaseException) -> bytes:
    match exc:
        case WorkFailed():
            return _written(_Detail(exc.name, exc.type, exc.message, exc.data, exc.attempts))
        case NonRetryable(data=data) if data is not None:
            return _written(data)
        case _:
            return b""


def _written(data: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return msgspec.msgpack.encode(repr(data))


def _read(data: bytes) -> Any:
    """Return a failure's data as plain values; bytes that somebody else left there are not worth a second failure."""
    if not data:
        return None
    try:
        return msgspec.msgpack.decode(data)
    except msgspec.MsgspecError:
        return None


def _work_failed(cls: type[WorkFailed], data: bytes) -> WorkFailed | None:
    try:
        detail = msgspec.msgpack.decode(data, type=_Detail)
    except msgspec.MsgspecError:  # encrypted, and this process has no key
        return None
    return cls(detail.name, detail.type, detail.message, data=detail.data, attempts=detail.attempts)


def _restored(cls: type[OnwardError], message: str) -> OnwardError:
    """Build the class again; its help is part of a kept message and comes back with the code."""
    return cls(message.removesuffix(HELP.get(cls.code, "")).rstrip())

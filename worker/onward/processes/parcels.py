"""What a worker and a process of its own say to each other, and how Python values travel between the two.

Arguments, details and exceptions are pickled: both ends are one program, on a pipe that nobody else has. What a step
returns travels as the bytes that will be kept, and nothing that was pickled is ever kept.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from onward.errors import CodecError
from onward.processes.elsewhere import Address


class MainModule(Struct, frozen=True, array_like=True):
    """The program that was started: functions and classes in it are known under `__main__` here, and not there."""

    name: str
    file: str


class Task(Struct, frozen=True, tag=True, array_like=True):
    """One attempt of a step. `label` is what its results are called in errors; `levels` are those of `logging` and of
    structlog, and `fields` what structlog adds to each line.
    """

    address: Address
    label: str
    id: str
    key: str
    run_id: str
    attempt: int
    max_attempts: int
    details: bytes
    arguments: bytes
    main: MainModule | None
    levels: tuple[int, int]
    fields: bytes


class Began(Struct, frozen=True, tag=True, array_like=True):
    """The body begins now."""


class Beat(Struct, frozen=True, tag=True, array_like=True):
    """A sign of life."""

    details: bytes = b""


class Logged(Struct, frozen=True, tag=True, array_like=True):
    """A record of `logging`."""

    record: bytes


class Said(Struct, frozen=True, tag=True, array_like=True):
    """A line of structlog: the arguments of its `get_logger`, its level, its event and its fields."""

    logger: tuple[str, ...]
    level: str
    event: bytes


class Done(Struct, frozen=True, tag=True, array_like=True):
    """The body has returned. `output` is its result as it will be kept."""

    output: bytes


class Failed(Struct, frozen=True, tag=True, array_like=True):
    """The body has raised. `error` is the exception itself, empty if it cannot leave its process; `details` are the
    newest ones.
    """

    error: bytes
    kind: str
    message: str
    stack: str
    details: bytes


Message = Began | Beat | Logged | Said | Done | Failed

write_task: Final = msgspec.msgpack.Encoder().encode
read_task: Final = msgspec.msgpack.Decoder(Task).decode
write_message: Final = msgspec.msgpack.Encoder().encode
read_message: Final[Callable[[bytes], Message]] = msgspec.msgpack.Decoder(Message).decode


class RemoteTraceback(Exception):
    """The cause of an error that another process has raised: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def pack(value: object, what: str) -> bytes:
    """Return `value` for the way. Raises `CodecError` that says `what` cannot be taken along."""
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        message = f"{what} cannot be taken to another process: {error}."
        raise CodecError(message, code="E0312") from error


def unpack(parcel: bytes) -> Any:
    """Return the value. Raises whatever its class does."""
    return pickle.loads(parcel) if parcel else None  # noqa: S301 - our own child or parent has written it


def failed(error: BaseException, details: bytes) -> Failed:
    """Return what is told of an exception. Never raises."""
    stack = "".join(traceback.format_exception(error))
    return Failed(_packed(error), type(error).__name__, _text_of(error), stack, details)


def error_of(failed: Failed) -> BaseException:
    """Return the exception, caused by its traceback there; of a class that only the other process has, one that is
    called the same.
    """
    try:
        error = _unpacked(failed.error)
    except Exception:  # noqa: BLE001 - the class belongs to the user
        error = _namesake(failed)
    if isinstance(error, KeyboardInterrupt):  # nobody has interrupted the worker
        error = _namesake(failed)
    error.__cause__ = RemoteTraceback(failed.stack)
    return error


def _namesake(failed: Failed) -> BaseException:
    return cast("BaseException", type(failed.kind, (Exception,), {"__module__": "builtins"})(failed.message))


class _Parts(Struct, frozen=True):
    """An exception whose class takes other arguments than it hands to its base, as many do."""

    cls: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]

    def made(self) -> BaseException:
        error = self.cls.__new__(self.cls, *self.args)
        error.__dict__.update(self.state)
        return error


def _packed(error: BaseException) -> bytes:
    for form in (error, _Parts(type(error), error.args, dict(vars(error)))):
        try:
            parcel = pickle.dumps(form, pickle.HIGHEST_PROTOCOL)
            copy = _unpacked(parcel)
            if type(copy) is type(error) and str(copy) == str(error):
                return parcel
        except Exception:  # noqa: BLE001, S112 - the class belongs to the user; the other form asks less of it
            continue
    return b""


def _unpacked(parcel: bytes) -> BaseException:
    form: BaseException | _Parts = pickle.loads(parcel)  # noqa: S301 - our own child has written it
    return form.made() if isinstance(form, _Parts) else form


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the class belongs to the user
        return f"<{type(error).__name__} without a readable message>"

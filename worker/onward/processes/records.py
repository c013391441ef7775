"""The log of a body in another process: its lines are written by the worker, with the run's and the step's fields."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable
from functools import partial
from logging.handlers import QueueHandler
from typing import Any

from onward.processes.parcels import Logged, Message, Said, unpack

_log = logging.getLogger("onward.processes")

_LINE = "a line of a step's log is lost"

Say = Callable[[Message], None]


# -- in the process


class Forwarder(QueueHandler):
    """Hands records of `logging` on to the worker."""

    def __init__(self, say: Say) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # `enqueue` is the queue
        self._say = say

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send it, with texts in place of what cannot be taken along."""
        self._say(Logged(_packed(vars(record))))


def forward_records(say: Say) -> None:
    """Send what is logged with `logging` to the worker, unless the program sets up a log of its own."""
    logging.getLogger().addHandler(Forwarder(say))


def keep_records() -> None:
    """Send nothing any more: let the log go where logs go that nobody has set up."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, Forwarder)]:
        root.removeHandler(handler)
    structlog = sys.modules.get("structlog")
    factory = structlog and structlog.get_config()["logger_factory"]
    if structlog and isinstance(factory, partial) and factory.func is _Lines:
        structlog.reset_defaults()
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def forward_lines(say: Say, level: int) -> None:
    """The same for lines of structlog from `level` on."""
    structlog = _import_structlog()
    known = min(level // 10 * 10, logging.CRITICAL)  # it makes no loggers for those between
    structlog.configure(
        processors=[structlog.processors.format_exc_info, _as_arguments],
        wrapper_class=structlog.make_filtering_bound_logger(known),
        logger_factory=partial(_Lines, say),
    )


def _import_structlog() -> Any:
    """Import it without rich, which it would load for tracebacks that nobody here sees: 15 MiB for each process."""
    is_hidden = "structlog" not in sys.modules and "rich" not in sys.modules
    if is_hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say: not installed
    try:
        import structlog
    finally:
        if is_hidden:
            del sys.modules["rich"]
    return structlog


def _as_arguments(_: object, level: str, fields: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], dict[str, Any]]:
    return (level, fields), {}


class _Lines:
    """A logger of structlog: gets every line, whatever its level is called."""

    def __init__(self, say: Say, *names: object) -> None:
        self._say = say
        self._names = tuple(map(str, names))

    def msg(self, level: str, fields: dict[str, Any]) -> None:
        self._say(Said(self._names, level, _packed(fields)))

    debug = info = warning = error = critical = msg


def _packed(fields: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps(fields, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - a field may be anything
        return pickle.dumps({name: _plain(value) for name, value in fields.items()}, pickle.HIGHEST_PROTOCOL)


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


# -- in the worker


def write_record(logged: Logged) -> None:
    """Log it as if it had been logged here."""
    if (fields := _fields(logged.record, _LINE)) is None:
        return
    record = logging.makeLogRecord(fields)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def write_line(said: Said) -> None:
    """Log it as if it had been logged here."""
    import structlog

    if (fields := _fields(said.event, _LINE)) is None:
        return
    getattr(structlog.get_logger(*said.logger), said.level)(fields.pop("event", ""), **fields)


def _fields(parcel: bytes, what: str) -> dict[str, Any] | None:
    """A field may be of a class that only the other side has, or that does not come back from its parcel."""
    try:
        fields: dict[str, Any] = unpack(parcel)
    except Exception as error:  # noqa: BLE001 - the class belongs to the user
        _log.warning("%s, this process cannot read it: %r", what, error)
        return None
    return fields


def levels() -> tuple[int, int]:
    """Return from which level on anybody wants records and lines. There may be many that nobody does."""
    return logging.getLogger().getEffectiveLevel(), _level_of_lines()


def _level_of_lines() -> int:
    structlog = sys.modules.get("structlog")
    ask: Callable[[], object] | None = getattr(structlog and structlog.get_logger(), "get_effective_level", None)
    level = ask() if ask else None
    return level if isinstance(level, int) else logging.NOTSET


def bound_fields() -> bytes:
    """Return structlog's context variables."""
    structlog = sys.modules.get("structlog")
    fields: dict[str, Any] = structlog.contextvars.get_contextvars() if structlog else {}
    return _packed(fields) if fields else b""


def bind_fields(fields: bytes) -> None:
    """Set them, for a program that writes its own log."""
    structlog = sys.modules.get("structlog")
    if structlog and fields and (known := _fields(fields, "what a step's log begins with is lost")):
        structlog.contextvars.bind_contextvars(**known)

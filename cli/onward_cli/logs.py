"""Log lines on stderr: for people, or as JSON for a collector."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor


class LogFormat(StrEnum):
    """How log lines look: `console` for people (coloured on a terminal), `json` for a collector."""

    CONSOLE = "console"
    JSON = "json"


def configure_logs(form: LogFormat, *, verbose: bool, process: int | None = None) -> None:
    """Set up logging for this process, once, before anything logs: structlog's and the standard library's alike. Every
    line has the number of this `process`, if it is one of several.
    """
    _fill_standard_files()
    sys.stderr = cast("TextIO", Steady(sys.stderr))
    structlog = _import_structlog()
    level = logging.DEBUG if verbose else logging.INFO
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(**_TIME[form]),
        *([_numbered(process)] if process is not None else []),
    ]
    finish = (_json if form is LogFormat.JSON else _console)(structlog)
    structlog.configure(
        processors=[*common, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[without_meta, *finish])
    )
    logging.basicConfig(level=level, handlers=[handler])


def _fill_standard_files() -> None:
    """A file or socket of ours must not get the number of a standard stream that was closed before the start."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)


class Steady(io.TextIOBase):
    """A stream that swallows what cannot be written. Whoever reads our log may go away, and the disk that it is on may
    be full; neither may end an engine or a worker. A stream that was closed before the start is None.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a constant in the base class
        """Return the encoding of the stream."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """Write as much as can be."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush what can be. Also called when this is forgotten, by then the stream may be closed."""
        if not self._stream.closed:
            self._try(self._stream.flush)

    def isatty(self) -> bool:
        """Tell whether somebody watches."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the file that it writes to."""
        return self._stream.fileno()

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno == errno.EPIPE:  # for ever: what is buffered, and what comes, goes nowhere
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), self._stream.fileno())


def _numbered(process: int) -> Processor:
    def add(logger: Any, method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


_TIME: dict[LogFormat, dict[str, Any]] = {
    LogFormat.CONSOLE: {"fmt": "%H:%M:%S", "utc": False},
    LogFormat.JSON: {"fmt": "iso", "utc": True},
}


def _json(structlog: Any) -> list[Processor]:
    # structlog's own `dict_tracebacks` shows every variable of every frame: tokens, and the user's data.
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer()]


def _console(structlog: Any) -> list[Processor]:
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain, pad_event_to=0)]


def _import_structlog() -> Any:
    """Import structlog without rich, which it would load for tracebacks that we do not use: 15 MiB and 130 ms."""
    hidden = "rich" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say: not installed
    try:
        import structlog
    finally:
        if hidden:
            del sys.modules["rich"]
    return structlog

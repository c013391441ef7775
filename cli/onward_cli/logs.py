"""Log lines on stderr: for people, or as JSON for a collector."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from structlog.typing import Processor


class LogFormat(StrEnum):
    """How log lines look: `console` for people (coloured on a terminal), `json` for a collector."""

    CONSOLE = "console"
    JSON = "json"


LogFormatOption = Annotated[
    LogFormat, typer.Option("--log-format", envvar="ONWARD_LOG_FORMAT", help="How log lines are written to stderr.")
]


def configure_logs(form: LogFormat, *, verbose: bool) -> None:
    """Set up logging for this process, once, before anything logs: structlog's and the standard library's alike."""
    structlog = _import_structlog()
    level = logging.DEBUG if verbose else logging.INFO
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(**_TIME[form]),
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


_TIME: dict[LogFormat, dict[str, Any]] = {
    LogFormat.CONSOLE: {"fmt": "%H:%M:%S", "utc": False},
    LogFormat.JSON: {"fmt": "iso", "utc": True},
}


def _json(structlog: Any) -> list[Processor]:
    return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]


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

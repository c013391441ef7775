"""The logger of a run: structlog with the run's identity, silent while the run only repeats what was logged before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from onward.host import Host


class RunLogger:
    """Logs an event with fields, as structlog does: `ctx.logger.info("refund", order="o1")`. Nothing is written during
    a replay.
    """

    def __init__(self, host: Host, fields: dict[str, object]) -> None:
        self._host = host
        self._fields = fields

    def bind(self, **fields: object) -> RunLogger:
        """Return a logger that adds `fields` to everything it writes."""
        return RunLogger(self._host, {**self._fields, **fields})

    def debug(self, event: str, /, **fields: object) -> None:
        """Write `event` at level debug."""
        self._write("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Write `event` at level info."""
        self._write("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Write `event` at level warning."""
        self._write("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Write `event` at level error."""
        self._write("error", event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """Write `event` at level error with the exception that is being handled."""
        self._write("error", event, {"exc_info": True, **fields})

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        if not self._host.replaying:
            bound: Any = structlog.get_logger("onward.run")
            getattr(bound, level)(event, **{**self._fields, **fields})

"""Asks for the WebSocket in the way in which every worker does."""

from __future__ import annotations

from onward.connection.dialer import Dialer
from onward.connection.link import DialFailed, Link, Refused
from onward.settings import Settings
from websockets.exceptions import InvalidStatus

from onward_cli.doctor.evidence import Answer
from onward_cli.doctor.probes.request import answer_of


async def ask_upgrade(settings: Settings) -> tuple[Answer, Link | None]:
    """Return what was answered, and the open link if there is one. Raises `ConfigError`."""
    try:
        return Answer(status=101), await Dialer(settings.url, settings.token, settings.way)()
    except (DialFailed, Refused) as failure:
        return _answer(failure), None


def _answer(failure: DialFailed | Refused) -> Answer:
    cause = failure.__cause__
    if isinstance(cause, InvalidStatus):
        response = cause.response
        return answer_of(response.status_code, response.headers, bytes(response.body or b""))
    if isinstance(cause, TimeoutError):
        return Answer(error="no answer to the request for a WebSocket", is_late=True)
    return Answer(error=str(cause))

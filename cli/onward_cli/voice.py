"""What a supervisor says: to the log, and to the engine for workers that cannot. Nothing of it is loaded before."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from onward_cli.obituary import Obituaries

if TYPE_CHECKING:
    from onward_cli.child import Child
    from onward_cli.fates import Ending
    from onward_cli.plan import Plan
    from onward_cli.speaker import Speaker

GOODBYE_S = 3.0
"""For telling of deaths: about two attempts to connect. Without it the engine learns of one a second later."""


class Voice:
    """One supervisor's. `plan` is how it logs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._leaving: list[Speaker] = []
        self._obituaries = Obituaries()

    def load(self) -> None:
        """Be able to speak at once from now on. May be repeated."""
        from onward_cli import speaker

        speaker.load()

    def speak_for(self, child: Child) -> None:
        """Keep the runs of a worker for it."""
        from onward_cli.speaker import Speaker

        child.speaker = Speaker(child.about, lambda reason: self.log(child).warning("guard refused", reason=reason))
        child.speaker.start()

    def release(self, child: Child) -> None:
        """It speaks for itself again."""
        if child.speaker is not None:
            child.speaker.release()
            child.speaker = None

    def say_bye(self, child: Child, reason: str, exit_status: int | None = None) -> None:
        """Begin to tell the engine that others are to go on with a worker's runs; does not wait for it."""
        if child.speaker is not None:
            child.speaker.say_bye(reason, exit_status)
            self._leaving = [one for one in (*self._leaving, child.speaker) if one.is_speaking]
            child.speaker = None

    def finish(self) -> None:
        """Return when the engine has heard everything, or does not listen."""
        until_s = time.monotonic() + GOODBYE_S
        for speaker in self._leaving:
            speaker.join(max(0.0, until_s - time.monotonic()))

    def report(self, child: Child, ending: Ending, again_in_s: float | None) -> None:
        """Say how a worker died, and when another one takes its place."""
        again = {} if again_in_s is None else {"again_in_s": again_in_s}
        self.log(child).error("worker died", **self._obituaries.write(child, ending), **again)

    def log(self, child: Child | None = None) -> Any:
        """Return the log, with the number of a worker if there are several."""
        from onward_cli.logs import LogFormat, configure_logs

        if "structlog" not in sys.modules:
            configure_logs(LogFormat(self.plan.log_format), verbose=self.plan.is_verbose)
        import structlog

        log = structlog.get_logger("onward.supervisor")
        return log.bind(process=child.number) if child is not None and self.plan.processes > 1 else log

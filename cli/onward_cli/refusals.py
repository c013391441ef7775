"""What the engine refuses, in its own words: the number of each reason here, and what to do about it."""

from __future__ import annotations

from typing import Final, NamedTuple


class Known(NamedTuple):
    """A reason of the engine's."""

    code: str
    advice: str = ""


UNKNOWN: Final = Known("E0400")

KNOWN: Final[dict[str, Known]] = {
    "token": Known(
        "E0402", "set ONWARD_TOKEN, or ONWARD_TOKEN_FILE to a file such as the engine's .onward/admin.token"
    ),
    "host": Known("E0402", "ask it by 127.0.0.1, or start it with `worker engine start`"),
    "origin": Known("E0402", "do not send an Origin header"),
    "unknown_run": Known("E0411", "list the newest ones: worker runs list"),
    "unknown_function": Known("E0412", "list those that there are: worker functions list"),
    "run_over": Known("E0413", "start it again: worker runs rerun"),
    "conflict": Known("E0414", "use another id, or send exactly the same again"),
    "too_large": Known("E0415", "send less, or a reference to where the data is"),
    "bad_request": Known("E0416", "see the command's --help"),
    "not_valid": Known("E0416", "see the command's --help"),
    "unsupported_media_type": Known("E0416", "see the command's --help"),
    "not_found": Known("E0416", "check that --url names an engine, of this release"),
    "method_not_allowed": Known("E0416", "check that --url names an engine, of this release"),
    "busy": Known("E0417", "try again in a moment"),
    "stopping": Known("E0417", "try again in a moment"),
    "store_full": Known("E0418", "free some space on the engine's disk"),
    "bad_expression": Known("E0419", "write it like 'run.status == \"failed\" && run.output.total > 10'"),
    "unknown_event": Known("E0420", "list the newest ones: worker events list"),
    "no_output": Known("E0421", "look at its steps: worker runs show"),
    "nobody_waits": Known("E0422", "name the run that is to have the signal: --run"),
    "signals_full": Known("E0423", "let the run wait for what it has got"),
    "unknown_callback": Known("E0424", "check the address; it ends with its run"),
    "callback_answered": Known("E0425", "the first answer counts"),
    "unknown_step": Known("E0426", "name one of the steps that the message names"),
    "unknown_schedule": Known("E0427", "list those that there are: worker schedules list"),
    "unknown_delayed_event": Known("E0428", "list those that wait: worker events delayed"),
    "queue_full": Known("E0429", "try again when fewer runs wait"),
    "shared": Known("E0430", "stop the other engines on this database"),
    "unknown_option": Known("E0431", "list those that there are: worker queues show"),
    "impossible_limit": Known("E0432", "give a number that the function could have in its code"),
    "internal": Known("E0405", "look into the engine's log"),
}
"""By the engine's own code, which never changes."""

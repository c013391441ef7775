"""When finished steps are made durable: what an App, a function or a worker is set to, and how that is written as text.

A function's own setting comes first, then what the worker was started with, then the App's, then `Checkpoint.SAFE`:
whoever deploys decides for everything that its author has left open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from onward.config import option_ms
from onward.durations import DAY_MS, SLEEP_MS_MAX, Duration, duration_ms
from onward.errors import ConfigError

STEPS_MAX: Final = 1_000
"""Results of one run that may be unacknowledged: a crash repeats them all, and until then they are kept twice."""

VARIABLE: Final = "ONWARD_CHECKPOINT"


def _check_count(option: str, value: object, *, low: int) -> None:
    """Raise `ConfigError` for what is no whole number, or outside of the limits."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= STEPS_MAX:
        raise ConfigError(
            f"Checkpoint, option '{option}': {value!r} is not a number from {low} to {STEPS_MAX}.", code="E0105"
        )


class Checkpoint(Struct, frozen=True):
    """When finished steps are sent to the engine, and how far a run may be ahead of what is durable.

    Results wait in the worker until `buffered_steps` of them are unsent, or until `max_interval` after the first of
    them; 0 is no timer, and then they wait for as long as the steps beside them execute. A step's body starts only
    while fewer than the larger of `buffered_steps` and `window` results of its run are unacknowledged. When a worker
    dies, at most so many steps run again, one of them being what it executed; parallel steps that it executed come on
    top.

    Everything finished is sent, whatever is set here, when the run waits, sends or invokes, when an attempt of a step
    fails, around a step with `barrier`, when the run leaves or ends, and when nothing of it executes. When the run has
    had its slot for `max_runtime`, it is handed back before its next step, if it has done any, and goes on in another
    worker or later in this one; parked time does not count. Durations that are None, 0 or "0" are no limit.
    """

    buffered_steps: int = 1
    max_interval: Duration | None = 0
    max_runtime: Duration | None = None
    window: int = 0

    SAFE: ClassVar[Self]
    """The next body starts after the result before it is stored: a crash repeats only the step that was executing."""
    PIPELINED: ClassVar[Self]
    """Up to 16 results on their way: a crash repeats about one round trip of steps."""
    BLENDED: ClassVar[Self]
    """Three results, or three seconds of them, in one frame, and then a wait for it to be stored: a crash repeats up to
    three steps.
    """
    PERFORMANT: ClassVar[Self]
    """A thousand results in one frame: a crash repeats everything since the run's last wait."""
    OFF: ClassVar[Self]
    """The run is handed back after each step, and goes on as a replay: a crash repeats only the step that was
    executing. A `finally` block runs once in each of these residences.
    """

    def __post_init__(self) -> None:
        _check_count("buffered_steps", self.buffered_steps, low=1)
        _check_count("window", self.window, low=0)
        option_ms("Checkpoint", "max_interval", self.max_interval or 0, DAY_MS)
        option_ms("Checkpoint", "max_runtime", self.max_runtime or 0, SLEEP_MS_MAX)

    @property
    def unacked_max(self) -> int:
        """How many results may be unacknowledged when a body has started: the N of what a crash may repeat."""
        return max(self.buffered_steps, self.window)

    @property
    def max_interval_ms(self) -> int:
        """`max_interval` in milliseconds; 0 without a timer."""
        return duration_ms(self.max_interval) if self.max_interval else 0

    @property
    def max_runtime_ms(self) -> int:
        """`max_runtime` in milliseconds; 0 without a limit."""
        return duration_ms(self.max_runtime) if self.max_runtime else 0

    @property
    def is_off(self) -> bool:
        """True for `OFF`, which no numbers make."""
        return isinstance(self, _Off)


class _Off(Checkpoint, frozen=True):
    def __repr__(self) -> str:
        return "Checkpoint.OFF"


Checkpoint.SAFE = Checkpoint()
Checkpoint.PIPELINED = Checkpoint(window=16)
Checkpoint.BLENDED = Checkpoint(3, "3s")
Checkpoint.PERFORMANT = Checkpoint(STEPS_MAX)
Checkpoint.OFF = _Off()

PRESETS: Final[dict[str, Checkpoint]] = {
    "safe": Checkpoint.SAFE,
    "pipelined": Checkpoint.PIPELINED,
    "blended": Checkpoint.BLENDED,
    "performant": Checkpoint.PERFORMANT,
    "off": Checkpoint.OFF,
}

CheckpointOption: TypeAlias = Checkpoint | bool | str
"""True is `SAFE`, False is `OFF`. A text is a preset such as "blended", or values such as
"buffered_steps=3,max_interval=3s,max_runtime=5m", or both: "pipelined,max_runtime=5m".
"""


def checkpoint_of(what: str, value: object) -> Checkpoint | None:
    """Return an option's value as a `Checkpoint`; None stays None. Raises `ConfigError` that begins with `what`."""
    match value:
        case None | Checkpoint():
            return value
        case bool():
            return Checkpoint.SAFE if value else Checkpoint.OFF
        case str():
            return _read(what, value)
        case _:
            raise ConfigError(f"{what}: {value!r} is not a Checkpoint.", code="E0118")


def worker_checkpoint(value: CheckpointOption | None, environ: Mapping[str, str]) -> Checkpoint | None:
    """Return what a worker is started with: its own option, or else ONWARD_CHECKPOINT; None if nothing is set."""
    if value is None:
        return checkpoint_of(VARIABLE, environ.get(VARIABLE) or None)
    return checkpoint_of("Worker, option 'checkpoint'", value)


def _read(what: str, text: str) -> Checkpoint:
    parts = [part.strip() for part in text.split(",")]
    preset = PRESETS.get(parts[0].lower())
    settings = dict(_setting(what, part) for part in (parts if preset is None else parts[1:]))
    if preset is Checkpoint.OFF and settings:
        raise ConfigError(f"{what}: 'off' takes no further values.", code="E0118")
    try:
        return replace(preset or Checkpoint.SAFE, **settings)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error.message}", code=error.code) from error


def _setting(what: str, part: str) -> tuple[str, int | str]:
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if not equals:
        raise ConfigError(f"{what}: {part!r} is none of the presets {', '.join(PRESETS)}.", code="E0118")
    if name not in Checkpoint.__struct_fields__:
        raise ConfigError(
            f"{what}: there is no {name!r} beside {', '.join(Checkpoint.__struct_fields__)}.", code="E0118"
        )
    if name in {"max_interval", "max_runtime"}:
        return name, value
    if not value.isdecimal():
        raise ConfigError(f"{what}: {name} is a whole number, not {value!r}.", code="E0118")
    return name, int(value)

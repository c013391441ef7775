"""What has to be known of a run to say why it is where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct
from onward_protocol.limits import Times
from onward_protocol.messages import FunctionManifest

from ...model import Run
from ..triggers import Catalog
from .facts import Awaited, Holders, Queued
from .gathering import Gathered


class Crew(Struct, frozen=True):
    """The connected workers, as far as one run is concerned: those that can run it and their free slots, of these those
    with its version, and, if nobody can, those that have the function but not its labels.
    """

    workers: int = 0
    free: int = 0
    same_version: int = 0
    same_version_free: int = 0
    unlabelled: int = 0


@dataclass(slots=True)
class Known:
    """What is known of a run. `holders`, `freed_per_ms` (None: not measured) and `arrival_us` are about the key for
    which it waits, `gathered` and `due_at_ms` about the events that it gathers.
    """

    now_ms: int
    run: Run
    catalog: Catalog
    crew: Crew = field(default_factory=Crew)
    queued: Queued | None = None
    holders: Holders = field(default_factory=Holders)
    freed_per_ms: float | None = None
    arrival_us: int = 0
    gathered: Gathered | None = None
    due_at_ms: int | None = None
    awaited: tuple[Awaited, ...] = ()
    times: Times = field(default_factory=Times)

    @property
    def function(self) -> FunctionManifest | None:
        """Return what the run's function is now."""
        return self.catalog.functions.get(self.run.function)

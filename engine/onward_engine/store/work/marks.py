"""What a run says of itself for people: the words by which they find it, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping

from ...model import Item, Run
from ...rules.frames import TAGS_MAX
from ..port import PROGRESS
from .context import Work

NEWEST = "newest"


def tag(work: Work, run: Run, tags: Mapping[str, str]) -> None:
    """Give a run tags. Beyond the limit, where no worker of ours goes, new keys are left out."""
    known = work.tables.tags(run.ord)
    room = TAGS_MAX - len(known)
    new = [key for key in tags if key not in known][: max(0, room)]
    work.tables.put_tags(run.ord, {key: value for key, value in tags.items() if key in known or key in new})


def show(work: Work, run: Run, value: bytes) -> None:
    """Keep how far a run is; only the newest word counts."""
    work.tables.put_item(Item(PROGRESS, run.id, NEWEST, None, value))

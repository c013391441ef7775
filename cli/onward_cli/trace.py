"""A run as a waterfall: what took which part of its time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from onward.calls import RunRecord, StepRecord
from onward_protocol.ids import derived_id

from onward_cli.output import printable

LABEL_CHARS_MAX = 32
BAR_CHARS_MIN = 20

_FILLS = {"queue": "░", "sleep": "·", "event": "·", "signal": "·", "callback": "·", "invoke": "▒", "child": "▒"}
_PLAIN = {"░": "-", "·": ".", "▒": "=", "█": "#", "✗": "x", "…": "~"}


_MOMENTS = frozenset({"send", "publish", "start", "patch", "cancel", "losses"})
_STARTS = frozenset({"invoke", "start"})
_OPEN = frozenset({"waiting", "retrying"})


class Bar(Struct, frozen=True):
    """One line: from when until when something took, and what is said of it. `until_ms` None: it is not over."""

    label: str
    kind: str
    from_ms: int
    until_ms: int | None
    note: str = ""


def bars_of(run: RunRecord, steps: Sequence[StepRecord], children: Sequence[RunRecord] = ()) -> list[Bar]:
    """Return the bars of a run, in the order in which what they show began."""
    started_ms = run.started_at_ms or run.ended_at_ms
    queue = Bar("(queue)", "queue", run.created_at_ms, started_ms, "" if started_ms else run.status)
    by_key = {child.id: child for child in children}
    return [queue, *_step_bars(started_ms or run.created_at_ms, steps, by_key, run.id)]


def draw(run: RunRecord, bars: Sequence[Bar], *, now_ms: int, width: int, is_plain: bool) -> Iterator[str]:
    """Return the lines of the picture, at most `width` wide."""
    begin_ms, end_ms = run.created_at_ms, _end_of(run, bars, now_ms)
    label = min(LABEL_CHARS_MAX, width // 3, max((len(bar.label) for bar in bars), default=0))
    notes = [f"{_duration((bar.until_ms or now_ms) - bar.from_ms)}  {bar.note}".rstrip() for bar in bars]
    room = max(BAR_CHARS_MIN, width - label - max(map(len, notes), default=0) - 4)
    lines = [f"{run.id}  {run.function}  {run.status}  {_duration(end_ms - begin_ms)}"]
    for bar, note in zip(bars, notes, strict=True):
        lines.append(f"{_cut(bar.label, label)}  {_strip(bar, begin_ms, end_ms, now_ms, room)}  {note}".rstrip())
    for line in lines:
        yield printable(_plain(line) if is_plain else line)[:width]


def _end_of(run: RunRecord, bars: Sequence[Bar], now_ms: int) -> int:
    """Return where the time axis ends; it has a length."""
    over_ms = run.ended_at_ms if run.is_over and run.ended_at_ms else now_ms
    return max(over_ms, run.created_at_ms + 1, *(bar.until_ms or now_ms for bar in bars))


def _step_bars(from_ms: int, steps: Iterable[StepRecord], children: dict[str, RunRecord], run: str) -> Iterator[Bar]:
    latest_ms = from_ms
    for step in steps:
        child = children.get(derived_id("run", run, step.key)) if step.kind in _STARTS else None
        bar = _bar(step, child, latest_ms)
        latest_ms = max(latest_ms, bar.until_ms or bar.from_ms)
        yield bar


def _bar(step: StepRecord, child: RunRecord | None, latest_ms: int) -> Bar:
    note = _note(step, child)
    if step.kind in _MOMENTS:
        at_ms = step.at_ms or latest_ms
        return Bar(step.key, step.kind, at_ms, at_ms, note)
    # A wait does not say when it began: it was after what stands before it.
    guessed_ms = min(latest_ms, step.at_ms or latest_ms)
    begin_ms = child.created_at_ms if child else step.began_at_ms or guessed_ms
    return Bar(step.key, step.kind, begin_ms, None if step.status in _OPEN else step.at_ms or begin_ms, note)


def _note(step: StepRecord, child: RunRecord | None) -> str:
    parts = [] if step.kind == "step" else [step.kind]
    if step.about:
        parts.append(step.about)
    if step.attempts > 1:
        parts.append(f"{step.attempts} attempts")
    if step.status != "completed":
        parts.append(step.status)
    if step.error is not None:
        parts.append(step.error.type)
    if child is not None:
        parts.append(child.id)
    return " ".join(parts)


def _strip(bar: Bar, begin_ms: int, end_ms: int, now_ms: int, room: int) -> str:
    """Return the bar's own part of the time axis."""
    scale = room / (end_ms - begin_ms)
    first = min(room - 1, int((bar.from_ms - begin_ms) * scale))
    last = max(first + 1, min(room, round(((bar.until_ms or now_ms) - begin_ms) * scale)))
    fill = "✗" if "failed" in bar.note.split() else _FILLS.get(bar.kind, "█")
    return " " * first + fill * (last - first) + " " * (room - last)


def _duration(ms: int) -> str:
    if ms < 1_000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms / 1000:.2f}s"
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"


def _cut(text: str, width: int) -> str:
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)


def _plain(line: str) -> str:
    for char, other in _PLAIN.items():
        line = line.replace(char, other)
    return line

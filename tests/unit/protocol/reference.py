"""The generated blocks of `docs/protocol.md`. After a change of the wire: `python -m tests.unit.protocol.reference`."""

from __future__ import annotations

import re
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, get_args

from msgspec import NODEFAULT
from msgspec.structs import fields
from onward_protocol import messages
from onward_protocol.codec import decode_engine_message, decode_worker_message, encode, encode_entries, tag_of
from onward_protocol.errors import CloseCode
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import Ack, Assign, Checkpoint, RunCompleted, StepDone, Wire
from onward_protocol.states import render_diagram, render_table

from tests.unit.protocol.meanings import meaning
from tests.unit.protocol.pair import Pair, held, hello

BOTH_WAYS = (messages.Packed, messages.Part)
PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"
VALUES = (
    *("Failure", "Event", "Draft", "Match", "Held", "RunRef", "Segment"),
    *("AppManifest", "FunctionManifest", "Trigger", "ConcurrencyLimit", "CancelRule", "Schedule", "ThrottleRule"),
    *("RateRule", "DebounceRule", "BatchRule", "FairRule", "SingletonRule", "IdempotencyRule", "WireLimits"),
)


def with_blocks(page: str) -> str:
    """Return the page with every generated block as the code would have it now."""
    for name, text in blocks().items():
        pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        matches = pattern.findall(page)
        assert len(matches) == 1, f"{len(matches)} blocks called {name}"
        start, end = matches[0]
        page = pattern.sub("\0", page).replace("\0", f"{start}\n{text}\n\n{end}")
    return page


def blocks() -> dict[str, str]:
    """Return all generated blocks by name."""
    return {
        "diagram": f"```mermaid\n{render_diagram()}\n```\n\n{render_table()}",
        "worker frames": _tables(get_args(messages.WorkerFrame)),
        "engine frames": _tables(kind for kind in get_args(messages.EngineFrame) if kind not in BOTH_WAYS),
        "worker entries": _tables(get_args(messages.WorkerEntry)),
        "waits": _tables(get_args(messages.Wait)),
        "engine entries": _tables(get_args(messages.EngineEntry)),
        "outcomes": _tables(get_args(messages.Outcome)),
        "values": _tables(getattr(messages, name) for name in VALUES),
        "limits": _settings(Limits()),
        "times": _settings(Times()),
        "close codes": _close_codes(),
        "conversation": _conversation(),
    }


def _tables(kinds: Any) -> str:
    return "\n\n".join(_table(kind) for kind in kinds)


def _table(kind: type[Wire]) -> str:
    tag = kind.__struct_config__.tag
    title = f"**{kind.__name__}**" + ("" if tag is None else f" `{tag_of(kind)!r}`")
    summary = " ".join((kind.__doc__ or "").split())
    heading = f"{title}: {summary}" if summary else title
    rows = [_row(kind, place, field) for place, field in enumerate(fields(kind), tag is not None)]
    return "\n".join([heading, "", "| # | field | type | meaning |", "|---|---|---|---|", *rows]) if rows else heading


def _row(kind: type[Wire], place: int, field: Any) -> str:
    text = str(kind.__annotations__[field.name])
    optional = "" if field.default is NODEFAULT and field.default_factory is NODEFAULT else " *"
    return f"| {place} | `{field.name}`{optional} | `{_type(text)}` | {meaning(kind.__name__, field.name)} |"


def _type(text: str) -> str:
    for name, plain in (
        ("Natural", "int"),
        ("Generation", "int"),
        ("Hash64", "uint64"),
        ("None", "nil"),
        ("bytes", "bin"),
        ("|", "or"),
    ):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", plain, text)
    return re.sub(r"Literal\[(.*?)\]", r"\1", text)


def _settings(defaults: Limits | Times) -> str:
    rows = [f"| `{field.name}` | {getattr(defaults, field.name):,} |" for field in fields_of(defaults)]
    return "\n".join(["| name | default |", "|---|---|", *rows])


def _close_codes() -> str:
    rows = [f"| {code.value} | {code.name} |" for code in CloseCode]
    return "\n".join(["| code | name |", "|---|---|", *rows])


def _conversation() -> str:
    """One run of one step, message by message, as the sessions really write them."""
    pair = Pair(hello(sdk="example", slots=2), free_slots=2)
    lines: list[str] = []
    _carry(pair, lines)
    pair.engine.welcome("ses_1", 1)
    _carry(pair, lines)
    pair.worker.tick(0)
    _carry(pair, lines)
    pair.engine.send(Assign("run_a", 1, "shop/order", attempt=0, ord=7, input=b"\x07"))
    _carry(pair, lines)
    pair.holdings.put(held(last_seq=1))
    pair.worker.send(Checkpoint("run_a", 1, 1, encode_entries([StepDone("charge", b"\xc3")])))
    _carry(pair, lines)
    pair.engine.send(Ack("run_a", 1, 1))
    _carry(pair, lines)
    pair.worker.send(Checkpoint("run_a", 1, 2, b"\x90", RunCompleted(b"\xc3")))
    _carry(pair, lines)
    pair.engine.send(Ack("run_a", 1, 2))
    _carry(pair, lines)
    return "\n".join(["```text", *lines, "```"])


def _carry(pair: Pair, lines: list[str]) -> None:
    pair.write()
    while pair.up:
        lines += _annotated("worker", pair.up[0], decode_worker_message(pair.up[0]))
        pair.read_up()
    while pair.down:
        lines += _annotated("engine", pair.down[0], decode_engine_message(pair.down[0]))
        pair.read_down()


def _annotated(sender: str, message: bytes, frames: Any) -> list[str]:
    lines = [f"{sender}: a message of {len(frames)} frame{'s' * (len(frames) > 1)}, {message[:1].hex()}"]
    for frame in frames:
        lines += [f"    {_short(frame)}", f"        {encode(frame).hex(' ')}"]
    return [*lines, ""]


def _short(frame: Wire) -> str:
    shown = [f"{field.name}={getattr(frame, field.name)!r}" for field in fields(frame) if getattr(frame, field.name)]
    return f"{type(frame).__name__}({', '.join(shown)})"


if __name__ == "__main__":
    PAGE.write_text(with_blocks(PAGE.read_text()))

"""Frames to bytes and back: fixed vectors that keep old workers working, and round trips of anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from msgspec.structs import fields
from onward_protocol import messages
from onward_protocol.codec import (
    decode_engine_entries,
    decode_engine_frame,
    decode_engine_message,
    decode_entries,
    decode_worker_frame,
    decode_worker_message,
    encode,
    encode_engine_entries,
    encode_entries,
    encode_message,
    tag_of,
)
from onward_protocol.errors import ProtocolError
from onward_protocol.messages import (
    Ack,
    Beat,
    Checkpoint,
    EngineEntry,
    EngineFrame,
    Hello,
    Outcome,
    Wait,
    Wire,
    WorkerEntry,
    WorkerFrame,
)

from tests.unit.protocol import samples
from tests.unit.protocol.anything import anything

GOLDEN: dict[str, list[str]] = json.loads(Path(__file__).with_name("golden.json").read_text())

# The largest value that a signed 64-bit column holds.
INT64_MAX = 2**63 - 1


def worker_entry(data: bytes) -> WorkerEntry:
    return decode_entries(b"\x91" + data)[0]


def engine_entry(data: bytes) -> EngineEntry:
    return decode_engine_entries(b"\x91" + data)[0]


def test_the_golden_vectors_name_every_sample() -> None:
    assert golden_now() == GOLDEN, "the wire has changed: workers of the last versions would not understand it"


@pytest.mark.parametrize(
    ("group", "decode"),
    [
        ("worker_frames", decode_worker_frame),
        ("engine_frames", decode_engine_frame),
        ("worker_entries", worker_entry),
        ("engine_entries", engine_entry),
    ],
)
def test_golden_vectors_are_read_and_written_byte_for_byte(group: str, decode: Callable[[bytes], Wire]) -> None:
    values = [decode(bytes.fromhex(vector)) for vector in GOLDEN[group]]
    assert tuple(values) == getattr(samples, group.upper())
    assert [encode(value).hex() for value in values] == GOLDEN[group]


@pytest.mark.parametrize("union", [WorkerFrame, EngineFrame, WorkerEntry, EngineEntry, Outcome, Wait])
def test_every_kind_has_a_sample(union: Any) -> None:
    groups = (samples.WORKER_FRAMES, samples.ENGINE_FRAMES, samples.WORKER_ENTRIES, samples.ENGINE_ENTRIES)
    values = [*(value for group in groups for value in group), *samples.OUTCOMES]
    waits = [value.wait for value in values if isinstance(value, messages.WaitOpened)]
    assert {*union.__args__} <= {type(value) for value in [*values, *waits]}


def test_tags_of_the_two_directions_do_not_overlap_but_for_what_carries_frames() -> None:
    worker, engine = ({tag_of(kind) for kind in union.__args__} for union in (WorkerFrame, EngineFrame))
    assert worker & engine == {tag_of(messages.Part), tag_of(messages.Packed)}


@given(st.lists(anything(WorkerFrame), max_size=3))
@settings(max_examples=200, deadline=None)
def test_whatever_a_worker_sends_the_engine_reads(frames: list[WorkerFrame]) -> None:
    assert decode_worker_message(encode_message([encode(frame) for frame in frames])) == frames


@given(st.lists(anything(EngineFrame), max_size=3))
@settings(max_examples=200, deadline=None)
def test_whatever_the_engine_sends_a_worker_reads(frames: list[EngineFrame]) -> None:
    assert decode_engine_message(encode_message([encode(frame) for frame in frames])) == frames


@given(st.lists(anything(WorkerEntry), max_size=3), st.lists(anything(EngineEntry), max_size=3))
@settings(max_examples=200, deadline=None)
def test_entries_survive_the_journal(worker: list[WorkerEntry], engine: list[EngineEntry]) -> None:
    assert decode_entries(encode_entries(worker)) == worker
    assert decode_engine_entries(encode_engine_entries(engine)) == engine


@pytest.mark.parametrize("size", [0, 1, 15, 16, 65_535, 65_536])
def test_a_message_holds_any_number_of_frames(size: int) -> None:
    frame = Ack("r", 1, 2)
    assert decode_engine_message(encode_message([encode(frame)] * size)) == [frame] * size


def test_fields_that_a_newer_peer_appends_are_skipped() -> None:
    longer = b"\x96" + encode(Ack("run_a", 1, 2))[1:] + b"\xa3new"
    assert decode_engine_message(b"\x91" + longer) == [Ack("run_a", 1, 2)]


def test_fields_that_an_older_peer_does_not_know_have_their_defaults() -> None:
    assert decode_engine_message(b"\x91\x94\x23\xa5run_a\x01\x02") == [Ack("run_a", 1, 2, resend=False)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "malformed"),
        (b"\xc1", "malformed"),
        (b"\x80", "malformed"),
        (b"\x91\x90", "malformed"),
        (b"\x91\x92\x09\x01", "unknown_frame"),
        (b"\x92" + encode(Beat(1, 1, 1)) + b"\x91\x7f", "unknown_frame"),
        (b"\x91" + encode(Ack("run_a", 1, 2)), "unknown_frame"),
        (b"\x91\xa5hello", "malformed"),
        (b"\x91" * 100_000, "malformed"),
        (b"\x91\x93\x07\xa6rotate" + b"\x91" * 100_000, "malformed"),
        (b"\xdd\xff\xff\xff\xff", "malformed"),
        (b"\x91\x95\x04\xc4\x00\x01\xa4full", "malformed"),
        (b"\x91\x94\x04\xa2\xc3\x28\x01\xa4full", "malformed"),
    ],
)
def test_garbage_from_a_worker_is_a_protocol_error(data: bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_worker_message(data)
    assert caught.value.code == code


@pytest.mark.parametrize("number", [-1, INT64_MAX + 1])
def test_a_number_that_no_store_could_keep_is_malformed(number: int) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode_worker_message(encode_message([encode(Checkpoint("run_a", number, 1, b""))]))


def test_every_number_on_the_wire_has_bounds() -> None:
    kinds = [kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Wire)]
    free = [(kind.__name__, field.name) for kind in kinds for field in fields(kind) if field.type is int]
    assert free == []
    assert Meta(ge=0, le=INT64_MAX) in messages.Natural.__metadata__  # type: ignore[attr-defined]


def test_an_unknown_entry_concerns_the_run_and_not_the_frame() -> None:
    frame = Checkpoint("run_a", 1, 1, b"\x91\x91\x63")
    assert decode_worker_message(encode_message([encode(frame)])) == [frame]
    with pytest.raises(ProtocolError, match="no kind 99"):
        decode_entries(frame.entries)


def test_payloads_are_never_looked_into() -> None:
    bomb = b"\x91" * 100_000
    frame = Hello((1, 1), "wrk_a", session="s")
    assert decode_worker_message(encode_message([encode(frame)])) == [frame]
    entries = encode_entries([messages.StepDone("load", bomb)])
    assert decode_entries(entries) == [messages.StepDone("load", bomb)]


def golden_now() -> dict[str, list[str]]:
    """Return the vectors of the code as it is: what `golden.json` has to hold after a deliberate change."""
    groups = ("worker_frames", "engine_frames", "worker_entries", "engine_entries")
    return {group: [encode(value).hex() for value in getattr(samples, group.upper())] for group in groups}

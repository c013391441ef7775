"""Runs that an engine has not in memory are read as they were written, whatever has happened to them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from onward_engine.model import Flow, Run, Status
from onward_engine.store.sqlite.opening import MEMORY, open_for_writing
from onward_engine.store.sqlite.tables import SqliteTables
from onward_engine.store.tables import OpenWait
from onward_protocol.messages import Event, Failure, Sleep

NEW = Run(
    id="run_a", function="shop/order", ord=2, events=("evt_a",), input=b"input", state_bytes=5, created_at_ms=1_000
)
PLAIN = {
    "new": NEW,
    "a child": Run(
        id="run_a",
        function="f",
        ord=2,
        parent="run_b",
        parent_key="k",
        attempt=3,
        input=b"",
        cause=Failure("T", "m", b""),
    ),
    "under a limit": Run(id="run_a", function="f", ord=2, flow=(Flow("key", "concurrency:0", 3),)),
    "bound to a version": Run(id="run_a", function="f", ord=2, version="2"),
    "a repetition": Run(id="run_a", function="f", ord=2, origin="run_c", origins=("run_b", "run_c")),
}
CHANGED: dict[str, dict[str, object]] = {
    "paused": {"is_paused": True},
    "to be cancelled": {"cancel_reason": "no"},
    "to be cancelled without a reason": {"cancel_reason": ""},
    "handed back": {"epoch": 1, "generation": 7, "holder": "", "started_at_ms": 5, "version": "2"},
    "assigned": {"status": Status.ASSIGNED, "epoch": 1, "holder": "wrk_a", "generation": 1},
    "struck": {"epoch": 2, "strikes": 1},
}


def stored(first: Run, changed: Run | None) -> SqliteTables:
    """What somebody finds who opens the file later."""
    db = open_for_writing(MEMORY, lambda: "history")
    tables = SqliteTables(db)
    tables.begin()
    tables.add_event(Event("evt_a", "shop/order", b"data", 5, 1), 6, 1)
    tables.add_run(first)
    tables.commit()
    if changed is not None:
        tables.begin()
        tables.put_run(changed)
        tables.commit()
    return SqliteTables(db)


def read(first: Run, changed: Run | None = None, *, is_expected: bool) -> Run:
    tables = stored(first, changed)
    tables.begin()
    if is_expected:
        tables.expect([first.ord])
    return tables.full(tables.run_at(first.ord))


@pytest.mark.parametrize("run", PLAIN.values(), ids=PLAIN)
def test_a_new_run_is_read_together_with_others_as_it_is_alone(run: Run) -> None:
    assert read(run, is_expected=True) == read(run, is_expected=False) == run


@pytest.mark.parametrize("changes", CHANGED.values(), ids=CHANGED)
def test_so_is_a_run_to_which_something_has_happened(changes: dict[str, object]) -> None:
    run = replace(NEW, **changes)
    assert read(NEW, run, is_expected=True) == read(NEW, run, is_expected=False) == run


def test_a_run_whose_journal_has_begun_is_not_taken_for_a_new_one() -> None:
    db = open_for_writing(MEMORY, lambda: "history")
    tables = SqliteTables(db)
    tables.begin()
    tables.add_run(NEW)
    tables.add_entry(NEW, b"entry")
    tables.commit()
    tables = SqliteTables(db)
    tables.begin()
    tables.expect([NEW.ord])
    assert tables.journal(tables.run_at(NEW.ord)).entries == (b"entry",)


def test_what_a_new_run_is_watched_for_is_found() -> None:
    """An option such as `start_timeout` waits from the run's beginning on, before anybody has claimed it."""
    watch = OpenWait(NEW.ord, "watch", Sleep(10), due_at_ms=10)
    db = open_for_writing(MEMORY, lambda: "history")
    tables = SqliteTables(db)
    tables.begin()
    tables.add_run(NEW)
    tables.put_wait(watch)
    tables.commit()
    tables = SqliteTables(db)
    tables.begin()
    tables.expect([NEW.ord])
    assert tables.waits_of(NEW.ord) == [watch]
    assert tables.wait(NEW.ord, watch.key) == watch

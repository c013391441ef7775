"""What the PostgreSQL store decides before it speaks to a server."""

from __future__ import annotations

import asyncpg
import pytest
from onward_engine.rules.triggers import Catalog
from onward_engine.store.port import Claim, Committed, Notices, StoreBroken, StoreFull
from onward_engine.store.postgres import DatabaseClock
from onward_engine.store.postgres.errors import Fate, broken, fate
from onward_engine.store.postgres.locks import Lock, LockClass, is_in_order, lacking, locks_of, statements
from onward_engine.store.postgres.needs import Need
from onward_engine.store.postgres.plan import plan
from onward_engine.store.postgres.reading import Unstorable, check_text
from onward_engine.store.postgres.rows import Rows
from onward_engine.store.postgres.splitting import joined
from onward_engine.store.postgres.statics import Statics
from onward_engine.store.undo import Undo


def test_locks_are_taken_in_one_order() -> None:
    wanted = locks_of([Need("run", 7), Need("key", "shop/a"), Need("opens", "go"), Need("run", 3)])
    assert [lock.kind for lock in sorted(wanted)] == [LockClass.EVENT, LockClass.FLOW_KEY, LockClass.RUN, LockClass.RUN]
    advisory, rows = statements(wanted)
    assert "'{3,7}'" in rows
    assert "'{t,t}'" in advisory


def test_who_opens_a_wait_is_alone_and_who_sends_is_not() -> None:
    [(name, alone)] = locks_of([Need("paths", "go")]).items()
    assert not alone
    assert locks_of([Need("paths", "go"), Need("opens", "go")]) == {name: True}


def test_a_lock_before_one_that_is_held_is_out_of_order() -> None:
    held = {Lock(LockClass.RUN, 5): True}
    assert is_in_order({Lock(LockClass.RUN, 6): True}, held)
    assert not is_in_order({Lock(LockClass.RUN, 4): True}, held)
    assert not is_in_order({Lock(LockClass.FLOW_KEY, 4): True}, held)


def test_a_shared_lock_does_not_stand_for_an_exclusive_one() -> None:
    lock = Lock(LockClass.EVENT, 1)
    assert lacking({lock: True}, {lock: False}) == {lock: True}
    assert lacking({lock: False}, {lock: True}) == {}


def test_changed_rows_are_in_their_new_group_until_that_is_taken_back() -> None:
    undo = Undo()
    rows: Rows[int, str] = Rows(undo, lambda row: (row[0],))
    rows.load(1, "a one")
    undo.clear()
    rows.put(1, "b one")
    rows.put(2, "b two")
    assert (rows.grouped("a"), sorted(rows.grouped("b"))) == ([], ["b one", "b two"])
    assert sorted(rows.changes()) == [(1, "a one", "b one"), (2, None, "b two")]
    undo.back_to(0)
    assert (rows.grouped("a"), rows.grouped("b"), list(rows.changes())) == (["a one"], [], [])


def test_a_row_that_was_deleted_and_made_again_is_no_change() -> None:
    rows: Rows[int, str] = Rows(Undo())
    rows.load(1, "as it was")
    rows.put(1, None)
    assert list(rows.changes()) == [(1, "as it was", None)]
    rows.put(1, "as it was")
    assert list(rows.changes()) == []


def test_a_plan_names_what_a_claim_reads() -> None:
    claims = [Claim(5, f"c{number}", "wrk_a", 1, ("shop/a",), 3) for number in (1, 2)]
    needs = plan(claims, Statics(), Catalog(), lambda event: ())
    assert needs[Need("head", "shop/a")] == 6
    assert needs[Need("later", 5)] == 6
    assert Need("session", "wrk_a") in needs


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_the_database_cannot_store_is_found(text: str) -> None:
    with pytest.raises(Unstorable):
        check_text("fine", text)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncpg.CharacterNotInRepertoireError("x"), Fate.SPLIT),
        (asyncpg.NotNullViolationError("x"), Fate.SPLIT),
        (asyncpg.DeadlockDetectedError("x"), Fate.AGAIN),
        (asyncpg.TooManyConnectionsError("x"), Fate.AGAIN),
        (asyncpg.AdminShutdownError("x"), Fate.AGAIN),
        (asyncpg.ReadOnlySQLTransactionError("x"), Fate.AGAIN),
        (asyncpg.ConnectionDoesNotExistError("x"), Fate.AGAIN),
        (asyncpg.InterfaceError("connection is closed"), Fate.AGAIN),
        (asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"), Fate.AGAIN),
        (ConnectionResetError(), Fate.AGAIN),
        (TimeoutError(), Fate.AGAIN),
        (asyncpg.DiskFullError("x"), Fate.FULL),
        (asyncpg.UndefinedTableError("x"), Fate.BROKEN),
        (asyncpg.DataCorruptedError("x"), Fate.BROKEN),
        (asyncpg.InterfaceError("another operation is in progress"), Fate.BROKEN),
        (KeyError("a bug"), Fate.BROKEN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_follows_from_an_error(error: Exception, expected: Fate) -> None:
    assert fate(error) is expected


def test_only_what_a_restart_may_heal_ends_the_engine() -> None:
    assert isinstance(broken(asyncpg.DiskFullError("x")), StoreFull)
    assert isinstance(broken(asyncpg.UndefinedTableError("x")), StoreBroken)


def test_a_reading_that_is_a_little_behind_does_not_turn_the_clock_back() -> None:
    clock = DatabaseClock()
    now_ms = clock.monotonic_ms()
    clock.note(5_000_000, now_ms, now_ms)
    before = clock.wall_ms()
    clock.note(5_000_000 - 500, now_ms, now_ms)
    assert clock.wall_ms() >= before


def test_a_clock_that_was_set_back_is_followed() -> None:
    clock = DatabaseClock()
    now_ms = clock.monotonic_ms()
    clock.note(5_000_000, now_ms, now_ms)
    assert clock.wall_ms() >= 5_000_000
    clock.note(1_000_000, now_ms, now_ms)
    assert clock.wall_ms() < 2_000_000


def test_a_reading_that_took_long_says_nothing() -> None:
    clock = DatabaseClock()
    before, now_ms = clock.wall_ms(), clock.monotonic_ms()
    clock.note(5_000_000, now_ms - 60_000, now_ms)
    assert clock.wall_ms() >= before


def test_pieces_of_a_batch_have_one_answer() -> None:
    first = Committed((1,), Notices(queued={"a"}, finished=["run_1"], next_due_at_ms=1))
    second = Committed((2, 3), Notices(queued={"b"}, registered=True, next_due_at_ms=9))
    together = Notices(queued={"a", "b"}, finished=["run_1"], registered=True, next_due_at_ms=9)
    assert joined(first, second) == Committed((1, 2, 3), together)

"""Looking after a database file: copies that can be trusted, and damage that is found."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from onward_engine.model import Run
from onward_engine.store.port import StoreRefused
from onward_engine.store.sqlite import SqliteStore, opening, upkeep
from onward_protocol.messages import Parked, RunCompleted, Sleep, StepDone, WaitOpened

from tests.conformance.driver import Driver, function


async def filled(path: Path) -> tuple[SqliteStore, Driver, list[Run]]:
    """Return an open store with a run in each situation: queued, assigned, parked and over."""
    store = SqliteStore(path)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    runs = [await driver.running() for _ in range(3)]
    await driver.checkpoint(runs[1], 1, WaitOpened("pause#1", Sleep(60_000)), outcome=Parked())
    await driver.checkpoint(runs[2], 1, StepDone("step#1", b"\x01"), outcome=RunCompleted(b"\xc0"))
    await driver.start("work")
    return store, driver, runs


async def test_a_backup_of_an_engine_at_work_is_a_database_like_it(tmp_path: Path) -> None:
    store, driver, runs = await filled(tmp_path / "onward.db")
    size = upkeep.backup(tmp_path / "onward.db", tmp_path / "copy.db")
    await driver.checkpoint(runs[0], 1, StepDone("after the copy#1", b"\x01"))
    copy = SqliteStore(tmp_path / "copy.db")
    await copy.open()
    assert size == (tmp_path / "copy.db").stat().st_size
    assert [(await copy.run(run.id), await copy.steps(run.id)) for run in runs[1:]] == [
        (await store.run(run.id), await store.steps(run.id)) for run in runs[1:]
    ]
    assert len((await copy.steps(runs[0].id)).steps) == 0
    assert copy.history == store.history
    await copy.close()
    await store.close()


def test_a_backup_never_begins_again_because_the_engine_has_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "onward.db"
    engine = opening.open_for_writing(str(path), lambda: "history")
    left: list[int] = []

    class Source(sqlite3.Connection):
        def backup(self, target: sqlite3.Connection, **_: object) -> None:
            super().backup(target, pages=1, progress=commit)

    def commit(status: int, remaining: int, total: int) -> None:
        left.append(remaining)
        if len(left) <= 100:
            engine.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('test', ?)", (len(left),))

    def open_existing(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, factory=Source)

    monkeypatch.setattr(opening, "open_existing", open_existing)
    upkeep.backup(path, tmp_path / "copy.db")
    engine.close()
    assert left == sorted(left, reverse=True)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM meta WHERE key = 'test'").fetchone() == (0,)


async def test_a_backup_replaces_nothing(tmp_path: Path) -> None:
    store, _, _ = await filled(tmp_path / "onward.db")
    await store.close()
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StoreRefused, match="exists already"):
        upkeep.backup(tmp_path / "onward.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


async def test_a_healthy_database_has_no_problems(tmp_path: Path) -> None:
    store, _, _ = await filled(tmp_path / "onward.db")
    assert upkeep.check(tmp_path / "onward.db") == []
    await store.close()


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM queue", "nobody will claim"),
        ("UPDATE live SET holder = '' WHERE status = 'assigned'", "assigned to nobody"),
        ("DELETE FROM wait", "parked without a wait"),
        ("DELETE FROM ended", "neither alive nor over"),
        ("DELETE FROM live WHERE status = 'queued'", "queued without being alive"),
        ("DELETE FROM live WHERE status = 'parked'", "waiting without being alive"),
        ("INSERT INTO place (flow_key, ord) VALUES ('key', 999)", "place of nobody"),
        ("UPDATE queue SET state = 2, flow_key = 'key'", "in line for nothing"),
        ("UPDATE queue SET state = 4, flow_key = 'key'", "gathering without an end"),
    ],
)
async def test_what_no_engine_would_ever_move_is_found(tmp_path: Path, damage: str, found: str) -> None:
    store, _, _ = await filled(tmp_path / "onward.db")
    await store.close()
    with closing(sqlite3.connect(tmp_path / "onward.db", isolation_level=None)) as db:
        db.execute(damage)
    assert any(problem.startswith(found) for problem in upkeep.check(tmp_path / "onward.db"))


async def test_a_broken_page_is_found(tmp_path: Path) -> None:
    store, _, _ = await filled(tmp_path / "onward.db")
    await store.close()
    data = bytearray((tmp_path / "onward.db").read_bytes())
    data[3 * 4096 : 4 * 4096] = bytes(4096)
    (tmp_path / "onward.db").write_bytes(data)
    assert upkeep.check(tmp_path / "onward.db") != []


async def test_a_file_that_an_engine_has_open_is_not_migrated(tmp_path: Path) -> None:
    store, _, _ = await filled(tmp_path / "onward.db")
    with pytest.raises(StoreRefused, match="in use by another engine"):
        upkeep.migrate(tmp_path / "onward.db")
    await store.close()
    before, now = upkeep.migrate(tmp_path / "onward.db")
    assert before == now


def test_there_has_to_be_a_database(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("not a database" * 100)
    for path, said in ((tmp_path / "none.db", "there is no database"), (tmp_path / "junk", "not a database")):
        with pytest.raises(StoreRefused, match=said):
            upkeep.check(path)

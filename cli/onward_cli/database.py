"""`worker engine migrate`, `check` and `backup`: an engine's database without an engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from onward_cli.errors import CommandError, guarded
from onward_cli.exits import Exit
from onward_cli.options import Verbose


def place(db: str) -> str:
    """Return what `--db` says. A folder called `mysql:` is what nobody wants."""
    if "://" in db and not is_postgres(db):
        raise typer.BadParameter("an engine keeps its data in a file or in postgresql://user:password@host/name")
    return db


Db = Annotated[
    str,
    typer.Option(
        "--db",
        envvar="ONWARD_DB",
        callback=place,
        help="The SQLite file of the engine, or postgresql://user:password@host/name.",
    ),
]
DEFAULT = ".onward/onward.db"


def is_postgres(db: str) -> bool:
    """Tell whether `--db` is an address, and not a file."""
    return db.startswith(("postgresql://", "postgres://"))


@guarded
def migrate(*, db: Db = DEFAULT, verbose: Verbose = False) -> None:
    """Bring the database to the newest schema.

    Every start of an engine does so too. No engine may have a SQLite file open meanwhile.
    """
    from onward_cli.extras import explained

    _need(db)
    with explained():
        before, now = _migrate(db)
    print(f"{_place(db)}: schema {now}" + ("" if before == now else f", was {before}"))


@guarded
def check(*, db: Db = DEFAULT, verbose: Verbose = False) -> None:
    """Look for damage. Also for settings of a server that risk some, and for runs that nobody would ever move.

    Engines may be at work meanwhile.
    """
    from onward_cli.extras import explained

    _need(db)
    with explained():
        problems = _check(db)
    if problems:
        print(*problems, sep="\n")
        raise CommandError(
            "E0606",
            f"{_place(db)} has problems: {len(problems)} or more",
            advice="stop the engine, keep a copy of the database, and go on from the newest backup without any",
            status=Exit.RUN_FAILED,
        )
    print(f"{_place(db)}: no problems")


@guarded
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; nothing is replaced.")],
    *,
    db: Db = DEFAULT,
    verbose: Verbose = False,
) -> None:
    """Copy a SQLite database, as it is at one moment. An engine may be at work meanwhile. PostgreSQL has pg_dump."""
    from onward_cli.extras import explained, need_engine

    if is_postgres(db):
        raise CommandError(
            "E0607",
            "this copies SQLite files, and PostgreSQL has its own tool for a database",
            advice=f"pg_dump --format=custom --schema=onward --file={to} postgresql://...",
        )
    need_engine()
    from onward_engine.store.sqlite import upkeep

    with explained():
        size = upkeep.backup(Path(db), to)
    print(f"{to}: {size:,} bytes, as of this moment")


def _need(db: str) -> None:
    from onward_cli.extras import need_engine, need_postgres

    need_engine()
    if is_postgres(db):
        need_postgres()


def _migrate(db: str) -> tuple[int, int]:
    if is_postgres(db):
        from onward_engine.store.postgres import upkeep as postgres

        return asyncio.run(postgres.migrate(db))
    from onward_engine.store.sqlite import upkeep

    return upkeep.migrate(Path(db))


def _check(db: str) -> list[str]:
    if is_postgres(db):
        from onward_engine.store.postgres import upkeep as postgres

        return asyncio.run(postgres.check(db))
    from onward_engine.store.sqlite import upkeep

    return upkeep.check(Path(db))


def _place(db: str) -> str:
    """Return where the database is, without a password."""
    if not is_postgres(db):
        return db
    from onward_engine.store.postgres.opening import place

    return place(db)

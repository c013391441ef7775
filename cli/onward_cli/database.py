"""`worker engine migrate`, `check` and `backup`: an engine's database without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onward_cli.errors import CommandError, guarded
from onward_cli.exits import Exit
from onward_cli.options import Verbose

Db = Annotated[Path, typer.Option("--db", envvar="ONWARD_DB", help="The SQLite file of the engine.")]
_DEFAULT = Path(".onward/onward.db")


@guarded
def migrate(*, db: Db = _DEFAULT, verbose: Verbose = False) -> None:
    """Bring a stopped engine's database to the newest schema. An engine does it too, when it starts."""
    from onward_cli.extras import explained, need_engine

    need_engine()
    from onward_engine.store.sqlite import upkeep

    with explained():
        before, now = upkeep.migrate(db)
    print(f"{db}: schema {now}" + ("" if before == now else f", was {before}"))


@guarded
def check(*, db: Db = _DEFAULT, verbose: Verbose = False) -> None:
    """Look for damage, and for runs that nobody would ever move. An engine may be at work meanwhile."""
    from onward_cli.extras import explained, need_engine

    need_engine()
    from onward_engine.store.sqlite import upkeep

    with explained():
        problems = upkeep.check(db)
    if problems:
        print(*problems, sep="\n")
        raise CommandError(
            "E0606",
            f"{db} has problems: {len(problems)} or more",
            advice="stop the engine, keep a copy of the file, and go on from the newest backup that passes this check",
            status=Exit.RUN_FAILED,
        )
    print(f"{db}: no problems")


@guarded
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; nothing is replaced.")],
    *,
    db: Db = _DEFAULT,
    verbose: Verbose = False,
) -> None:
    """Copy the database as it is at one moment. An engine may be at work meanwhile; the copy is a database like it."""
    from onward_cli.extras import explained, need_engine

    need_engine()
    from onward_engine.store.sqlite import upkeep

    with explained():
        size = upkeep.backup(db, to)
    print(f"{to}: {size:,} bytes, as of this moment")

"""`worker engine promote`: from one machine's file to PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from onward_cli.errors import guarded
from onward_cli.options import Verbose

Db = Annotated[Path, typer.Option("--db", help="The SQLite file of the engine, which has to be stopped.")]
To = Annotated[
    str, typer.Option("--to", metavar="URL", help="An empty PostgreSQL database: postgresql://user@host/name.")
]
Undo = Annotated[
    bool,
    typer.Option("--undo", help="Empty the new database and use the file again; only before an engine worked there."),
]


@guarded
def promote(*, to: To, db: Db = Path(".onward/onward.db"), undo: Undo = False, verbose: Verbose = False) -> None:
    """Move everything to PostgreSQL. The file is sealed: runs, history, timers and events go on there, and only there.

    Workers need nothing: they find the engine at its address and go on with what they hold. After an interruption,
    call it again.
    """
    from onward_cli.extras import explained, need_engine, need_postgres

    need_engine()
    need_postgres()
    with explained():
        if undo:
            asyncio.run(_undo(db, to))
        else:
            asyncio.run(_promote(db, to))


async def _promote(db: Path, to: str) -> None:
    from onward_engine.settings import Settings
    from onward_engine.store.promotion import promote as move

    adoption_ms = Settings().times.adoption_ms
    promoted = await move(db, to, now_ms=time.time_ns() // 1_000_000, adoption_ms=adoption_ms, note=print)
    if not promoted.is_new:
        print("everything is there already; nothing was copied")
    print(f"{db} is sealed. Start the engine with: worker engine start --db postgresql://...")


async def _undo(db: Path, to: str) -> None:
    from onward_engine.store.promotion import withdraw

    await withdraw(db, to)
    print(f"{db} is open again, and the new database is empty")

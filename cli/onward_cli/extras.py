"""The engine is an extra: a worker's image does not need it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec

from onward_cli.errors import FULL, CommandError
from onward_cli.exits import Exit

ENGINE_NEEDS = ("uvicorn", "httptools", "starlette", "cronsim", "prometheus_client")


def need_engine() -> None:
    """Raise `CommandError` with the install command if what the engine stands on is missing."""
    missing = [name for name in ENGINE_NEEDS if find_spec(name) is None]
    if missing:
        raise CommandError(
            "E0600",
            f"the engine is not installed: {', '.join(missing)} not found",
            advice="pip install 'onward[engine]'",
            status=Exit.IMPORT,
        )


def need_postgres() -> None:
    """Raise `CommandError` with the install command if PostgreSQL's driver is missing."""
    if find_spec("asyncpg") is None:
        raise CommandError(
            "E0600",
            "the PostgreSQL store is not installed: asyncpg not found",
            advice="pip install 'onward[engine,postgres]'",
            status=Exit.IMPORT,
        )


@contextmanager
def explained() -> Generator[None]:
    """Turn what an engine fails with into a `CommandError`."""
    from onward_engine import CannotListen, StoreError, StoreRefused
    from onward_engine.store.port import StoreFull

    try:
        yield
    except CannotListen as error:
        raise CommandError("E0601", str(error), status=Exit.CONFLICT) from error
    except StoreRefused as error:
        raise CommandError("E0602", str(error), status=Exit.CONFLICT) from error
    except StoreFull as error:
        raise CommandError("E0603", str(error), advice=_MAKE_SPACE, status=Exit.TRY_AGAIN) from error
    except StoreError as error:
        raise CommandError("E0604", str(error), status=Exit.TRY_AGAIN) from error
    except OSError as error:
        full = error.errno in FULL
        raise CommandError(
            "E0603" if full else "E0605",
            f"the engine cannot write {error.filename or 'its files'}: {error.strerror}",
            advice=_MAKE_SPACE if full else "choose another place with --db",
            status=Exit.TRY_AGAIN if full else Exit.USAGE,
        ) from error


_MAKE_SPACE = "free disk space and start the engine again; what it has acknowledged is safe"

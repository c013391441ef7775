"""What an engine that cannot start tells the person who started it."""

from __future__ import annotations

import errno

import pytest
from onward_cli import extras
from onward_cli.errors import CommandError
from onward_cli.extras import explained, need_engine
from onward_engine import CannotListen, StoreRefused
from onward_engine.store.port import StoreBroken, StoreFull


def test_a_missing_extra_ends_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "ENGINE_NEEDS", ("json", "a_package_that_nobody_has"))
    with pytest.raises(CommandError, match="a_package_that_nobody_has") as caught:
        need_engine()
    assert caught.value.advice == "pip install 'onward[engine]'"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CannotListen("Port 1 is in use."), 6),
        (StoreRefused("schema 9"), 6),
        (StoreFull("only 3 KiB are free"), 75),
        (StoreBroken("the disk is gone"), 75),
        (OSError(errno.ENOSPC, "No space left on device", "admin.token"), 75),
        (PermissionError(errno.EACCES, "Permission denied", "admin.token"), 2),
    ],
)
def test_failures_of_an_engine_keep_their_words_and_get_a_status(error: Exception, status: int) -> None:
    with pytest.raises(CommandError) as caught, explained():
        raise error
    assert caught.value.status == status
    said = error.strerror if isinstance(error, OSError) else str(error)
    assert said
    assert said in caught.value.what

"""A run that has come far goes on in another process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import System, kill, ledger_of, repeated, wait_for

APP = "tests.system.apps.lengthy:functions"
STEPS = 1_000


@pytest.mark.parametrize("compression", ["off", "zstd"])
def test_a_run_with_three_megabytes_of_journal_goes_on_where_it_was(tmp_path: Path, compression: str) -> None:
    with System(tmp_path, environment={"ONWARD_COMPRESSION": compression}) as system:
        system.engine()
        first = system.worker(APP)
        run = system.client.start("lengthy/lengthy", STEPS)
        wait_for(lambda: ledger_of(tmp_path)["end"] == 1, "all steps but the last are done")
        kill(first)
        system.worker(APP, log="second")
        wait_for(lambda: ledger_of(tmp_path)["end"] == 2, "the last step runs again")
        (tmp_path / "go").touch()
        assert run.result(timeout=20) == sum(range(STEPS))
        ledger = ledger_of(tmp_path)
        assert (len(ledger), repeated(ledger)) == (STEPS + 1, ["end"])

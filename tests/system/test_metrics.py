"""What an operator's Prometheus reads from a real engine after work that is known."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import System, child_of, ledger_of, wait_for

APP = "tests.system.apps.blocking:functions"


def scrape(system: System, token: str = "") -> Mapping[str, float]:
    """Every sample by its name and the values of its labels: `onward_checkpoints_total applied`."""
    headers = {"authorization": f"Bearer {token or system.token}"}
    with urlopen(Request(f"{system.url}/metrics", headers=headers)) as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert all(family.documentation for family in families)
    return {" ".join((one.name, *one.labels.values())): one.value for family in families for one in family.samples}


def test_the_metrics_say_what_was_done(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.engine()
        system.worker(APP, "--concurrency", "7")
        for number in range(10):
            assert system.client.start("test/waiting", (str(number), 0.0)).result(timeout=20) == str(number)
        found = scrape(system)
    assert found["onward_runs_started_total test/waiting"] == 10
    assert found["onward_runs_ended_total test/waiting completed"] == 10
    assert found["onward_assignments_total test/waiting"] == 10
    assert found["onward_checkpoints_total applied"] >= 10
    assert found["onward_commit_duration_seconds_count"] == found["onward_commit_duration_seconds_bucket +Inf"] >= 20
    assert found["onward_commit_duration_seconds_sum"] > 0
    assert (found["onward_workers"], found["onward_slots"], found["onward_slots_free"]) == (1, 7, 7)
    assert found["onward_commit_queue_operations"] == found["onward_commit_queue_bytes"] == 0
    quiet = ("fences", "replica_takeovers", "guarded_seconds", "checkpoints_total stale", "guards_ended_total died")
    assert {found.get(f"onward_{name}_total", found.get(f"onward_{name}")) for name in quiet} == {0}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_a_worker_that_dies_is_an_orphan_a_takeover_and_a_strike(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.quick_engine()
        worker = system.worker(APP)
        run = system.client.start("test/gated", "a")
        wait_for(lambda: ledger_of(tmp_path)["begin a"] == 1, "a has begun")
        system.worker(APP, log="spare")
        os.kill(child_of(worker), signal.SIGKILL)
        wait_for(lambda: ledger_of(tmp_path)["begin a"] == 2, "a begins again")
        tmp_path.joinpath("a").touch()
        assert run.result(timeout=20) == "a"
        found = scrape(system)
    happened = ("runs_orphaned", "takeovers", "strikes", "runs_started")
    assert {name: found[f"onward_{name}_total test/gated"] for name in happened} == dict.fromkeys(happened, 1)
    assert (found["onward_guards_ended_total died"], found["onward_workers"]) == (1, 1)


def test_whoever_has_no_token_learns_nothing(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.engine()
        with pytest.raises(HTTPError, match="401"):
            scrape(system, token="wrong")


def test_a_worker_that_stands_still_shows_as_a_guard_until_it_has_recovered(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.quick_engine()
        system.worker(APP)
        run = system.client.start("test/holding", ("a", 3.0))
        wait_for(lambda: scrape(system)["onward_guards"] == 1, "its guard is connected")
        assert run.result(timeout=20) == "a"
        wait_for(lambda: scrape(system)["onward_guards_ended_total recovered"] == 1, "its guard has gone")
        found = scrape(system)
    assert found["onward_guards"] == 0
    assert 0 < found["onward_guarded_seconds_total"] < 20

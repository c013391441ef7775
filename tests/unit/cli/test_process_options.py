"""Options about processes: sizes, slots, and what needs a supervisor."""

from __future__ import annotations

import sys

import msgspec
import pytest
from onward.durations import duration_ms
from onward_cli.errors import CommandError
from onward_cli.plan import Plan
from onward_cli.process_options import automatic_slots, check_memory_known, check_supervised, size_of, slots_of
from onward_cli.tree import commands

from tests.support.pages import Page

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512M", 512 * MIB), ("512MiB", 512 * MIB), ("512 mb", 512 * MIB), ("1.5G", 3 * GIB // 2), ("67108864", 64 * MIB)],
)
def test_sizes_are_written_as_people_write_them(text: str, expected: int) -> None:
    assert size_of(text) == expected


@pytest.mark.parametrize("text", ["much", "512X", "-1G", "M", "1M", "512", ""])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--max-memory") as refused:
        size_of(text)
    assert refused.value.code == "E0540"


@pytest.mark.parametrize(
    ("cpus", "memory", "processes", "expected"),
    [
        (1.0, 512 * MIB, 1, 100),
        (2.0, 4 * GIB, 1, 200),
        (4.0, 8 * GIB, 4, 100),
        (0.5, 512 * MIB, 1, 50),
        (8.0, 256 * MIB, 1, 96),
        (2.0, None, 1, 200),
        (0.001, 32 * MIB, 4, 1),
        (1_000.0, None, 1, 10_000),
    ],
)
def test_automatic_slots_follow_processors_and_memory(
    cpus: float, memory: int | None, processes: int, expected: int
) -> None:
    assert automatic_slots(cpus, memory, processes) == expected
    assert slots_of("auto", cpus, memory, processes) == expected


@pytest.mark.parametrize("text", ["0", "10001", "-1", "many", "1.5", ""])
def test_slots_are_a_number_or_automatic(text: str) -> None:
    assert slots_of("10000", 1, None, 1) == 10_000
    with pytest.raises(CommandError, match="--concurrency") as refused:
        slots_of(text, 1, None, 1)
    assert refused.value.code == "E0541"


@pytest.mark.parametrize("plan", [Plan(processes=2), Plan(memory_max=GIB), Plan(is_reloading=True)])
def test_what_needs_a_supervisor_is_refused_without_one(plan: Plan) -> None:
    check_supervised(Plan(idle_max_ms=1, runtime_max_ms=1))
    with pytest.raises(CommandError, match="the process above"):
        check_supervised(plan)


def test_memory_is_limited_only_where_it_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    check_memory_known(Plan())
    with pytest.raises(CommandError, match="Linux"):
        check_memory_known(Plan(memory_max=GIB))


def test_the_job_of_the_page_is_a_command_that_there_is() -> None:
    [job] = [block for block in Page("docs/deploy.md").blocks("yaml") if "kind: CronJob" in block]
    pod = msgspec.yaml.decode(job)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    run = {path: command for path, command, _ in commands()}["run"]
    name, *arguments = pod["containers"][0]["args"]
    with run.make_context(name, arguments) as context:
        assert (context.params["burst"], context.params["max_runtime"]) == (True, "9m")
        assert pod["terminationGracePeriodSeconds"] >= duration_ms(context.params["drain_timeout"]) / 1000 + 10

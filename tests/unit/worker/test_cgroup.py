"""What a container may use, as both versions of control groups say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from onward.cgroup import cpus, has_spare_cpu, memory_bytes, memory_kills

GIB = 1 << 30
SECOND_VERSION = "0::/pod/container\n"
FIRST_VERSION = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"


def system(root: Path, groups: str, files: dict[str, str]) -> str:
    """A root with these control groups."""
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{key}": files[key] for key in files}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_the_second_version_is_read_and_limits_above_count_too(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        SECOND_VERSION,
        {
            "pod/container/cpu.max": "max 100000\n",
            "pod/cpu.max": "50000 100000\n",
            "pod/container/memory.max": f"{GIB // 4}\n",
            "pod/memory.max": "max\n",
            "pod/container/memory.events": "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n",
        },
    )
    assert (cpus(root), memory_bytes(root), memory_kills(root)) == (0.5, GIB // 4, 2)


def test_the_first_version_is_read_also_if_only_the_group_itself_is_mounted(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        FIRST_VERSION,
        {
            "cpu/cpu.cfs_quota_us": "25000\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": f"{GIB // 8}\n",
            "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
        },
    )
    assert (cpus(root), memory_bytes(root), memory_kills(root)) == (0.25, GIB // 8, 5)


@pytest.mark.parametrize("files", [{}, {"memory/memory.limit_in_bytes": "9223372036854771712", "cpu.max": "max 1"}])
def test_without_limits_it_is_what_the_machine_has(tmp_path: Path, files: dict[str, str]) -> None:
    root = system(tmp_path, FIRST_VERSION, files)
    assert 1 <= cpus(root) <= (os.cpu_count() or 1)
    assert memory_bytes(root) in {None, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")}
    assert memory_kills(root) == 0


def test_a_system_without_control_groups_is_no_error(tmp_path: Path) -> None:
    assert cpus(str(tmp_path)) >= 1
    assert memory_kills(str(tmp_path)) == 0


@pytest.mark.parametrize(("processes", "bound", "may"), [(1, 2, True), (1, 1, False), (2, 2, False), (3, 4, True)])
def test_a_processor_is_left_to_whoever_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, bound: int, may: bool
) -> None:
    def affinity(_pid: int) -> set[int]:
        return set(range(bound))

    monkeypatch.setattr(os, "sched_getaffinity", affinity)
    assert has_spare_cpu(processes, str(tmp_path)) is may


def test_half_a_processor_is_none_to_spare(tmp_path: Path) -> None:
    assert not has_spare_cpu(root=system(tmp_path, SECOND_VERSION, {"pod/cpu.max": "50000 100000\n"}))

"""The demo: index the running interpreter's standard library while the worker is killed half-way, and count what ran
twice.

Engine and worker are separate processes. The count comes from the ledger that the step bodies write, not from the
engine's books, and the totals are compared with those of a plain loop over the same files. Exits 1 if anything differs.
"""

from __future__ import annotations

import signal
import sys
import sysconfig
import tempfile
from collections import Counter
from pathlib import Path

from .app import IndexRequest, IndexRequested
from .facts import Totals, facts_of, python_files, totals_of
from .stage import connect, engine, equal, free_port, lines_of, result_of, wait_for_worker, watch, worker

AT_ONCE = 8


def main() -> int:
    directory = Path(sysconfig.get_path("stdlib"))
    files = python_files(directory)
    with tempfile.TemporaryDirectory(prefix="onward-demo-") as home:
        print(f"Indexing {len(files)} files of {directory}, {AT_ONCE} at a time, one durable step each.")
        result, ledger = index_with_a_kill(directory, len(files), Path(home))
        print("\n" + Path(home, "report.md").read_text(encoding="utf-8"))
    return verdict(result, totals_of(map(facts_of, files)), ledger, files)


def index_with_a_kill(directory: Path, total: int, home: Path) -> tuple[Totals, Counter[str]]:
    ledger = home / "ledger"
    url = f"http://127.0.0.1:{free_port()}"
    with engine(url, home), worker(url, home, "first") as first:
        client = connect(url, home)
        wait_for_worker(client)
        [sent] = client.send(IndexRequested(IndexRequest(str(directory), str(home / "report.md"), str(ledger))))
        [run] = sent.runs
        watch(ledger, total, until=lambda done: done >= total // 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        print(f"\n  killed worker {first.pid} (SIGKILL) after {len(lines_of(ledger))} steps; starting another")
        with worker(url, home, "second"):
            watch(
                ledger,
                total,
                until=lambda done: run.status() not in ("queued", "assigned", "orphaned", "ready", "parked"),
            )
            return result_of(run), Counter(lines_of(ledger))


def verdict(result: Totals, expected: Totals, ledger: Counter[str], files: list[str]) -> int:
    again = {step: count - 1 for step, count in ledger.items() if count > 1}
    lost = [path for path in files if path not in ledger]
    same = equal(result, expected)
    print(f"totals equal those of a plain loop:   {'yes' if same else 'NO'}")
    print(f"lost steps:                           {len(lost)}")
    print(f"step bodies that ran more than once:  {len(again)} (in flight at the kill: at most {AT_ONCE})")
    for path in again:
        print(f"    {path}")
    return 0 if same and not lost and len(again) <= AT_ONCE and max(again.values(), default=0) <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())

"""Index a directory of Python files durably: `worker run examples.codebase_index.app:functions`.

One step lists the files, one step for each file parses it (8 at a time), one writes the report. Kill the worker at any
moment: another one goes on, and only the files that were being parsed are parsed again. Each body notes its start in a
ledger, so that this can be counted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from onward import App, Context, EventType, step

from .facts import FileFacts, Totals, facts_of, python_files, report_of, totals_of


@dataclass
class IndexRequest:
    directory: str
    report: str
    ledger: str


IndexRequested = EventType("codebase/index.requested", IndexRequest)
functions = App("codebase")


@step
def list_files(request: IndexRequest) -> list[str]:
    note(request.ledger, "list_files")
    return python_files(Path(request.directory))


@step
def parse(ledger: str, path: str) -> FileFacts:
    note(ledger, path)
    return facts_of(path)


@step
def write_report(request: IndexRequest, totals: Totals) -> str:
    note(request.ledger, "write_report")
    Path(request.report).write_text(report_of(request.directory, totals), encoding="utf-8")
    return request.report


@functions.on(IndexRequested)
async def index(ctx: Context[IndexRequest]) -> Totals:
    request = ctx.data
    files = await list_files.aio(request)
    facts = await ctx.map(lambda path: parse.aio(request.ledger, path), files, limit=8)
    await ctx.sleep("1s")  # parked: holds no slot, survives restarts of everything
    totals = totals_of(facts)
    await write_report.aio(request, totals)
    return totals


def note(ledger: str, what: str) -> None:
    """Append one line. A single write with O_APPEND is never torn by another process's."""
    out = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(out, f"{os.getpid()} {what}\n".encode())
    finally:
        os.close(out)

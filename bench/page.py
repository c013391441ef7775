"""Writes the newest answers of all benchmarks into docs/performance.md and docs/performance.svg.

    python -m bench.page

What stands between `<!-- figures -->` and `<!-- end -->` (and likewise for `peers`) is replaced; the words around it
are people's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from .peers.findings import OURS
from .plot import Bar, plot
from .report import RESULTS, Document, Figure

PAGE = Path("docs/performance.md")
PICTURE = Path("docs/performance.svg")
QUESTIONS = ("step p50", "throughput", "CPU in all", "request to first line, p50", "1 + 20 + 1")
PRESETS = ("SAFE", "PIPELINED", "BLENDED", "PERFORMANT", "OFF")


def main() -> None:
    documents = {document.name: document for document in newest()}
    peers = documents.pop("peers", None)
    page = PAGE.read_text(encoding="utf-8")
    page = replaced(page, "figures", own_table(documents.values()))
    if peers is not None:
        page = replaced(page, "peers", peers_table(peers))
        PICTURE.write_text(plot(bars(documents["step_latency"], peers)), encoding="utf-8")
    PAGE.write_text(page, encoding="utf-8")


def newest() -> Iterator[Document]:
    """Yield the last answer of every benchmark."""
    for path in sorted(RESULTS.glob("*.json")):
        yield msgspec.json.decode(path.read_bytes().splitlines()[-1], type=Document)


def replaced(page: str, name: str, table: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE} has no place for {name}")
    return pattern.sub(lambda match: f"{match[1]}{table}\n{match[2]}", page)


def own_table(documents: Iterable[Document]) -> str:
    rows = ["| question | figure | measured | bar | | ratio |", "|---|---|---|---|---|---|"]
    for document in documents:
        question = document.question
        for figure in document.answer.figures:
            cells = (question, figure.name, value_of(figure), figure.bar, figure.verdict, ratio_of(figure))
            rows.append(f"| {' | '.join(cells)} |")
            question = ""
    return "\n".join(rows)


def peers_table(document: Document) -> str:
    """One row for each setting of a peer, one column for each question."""
    figures = {figure.name: figure for figure in document.answer.figures}
    rows = [f"| setting | a finished step is | {' | '.join(QUESTIONS)} |", "|---|---|" + "---|" * len(QUESTIONS)]
    for name, facts in document.answer.details["settings"].items():
        found = [figures.get(f"{name}: {question}") for question in QUESTIONS]
        title = f"{name} (default)" if facts["is_default"] else name
        durable = "durable" if facts["is_durable"] else "not durable"
        cells = [value_of(figure) if figure else "-" for figure in found]
        rows.append(f"| {title} | {durable}: {facts['finished_steps_are']} | {' | '.join(cells)} |")
    barred = [f"| {one.name} | {value_of(one)} | {one.bar} | {one.verdict} |" for one in figures.values() if one.bar]
    if barred:
        rows += ["", "| in the same rounds | measured | bar | |", "|---|---|---|---|", *barred]
    return "\n".join(rows)


def bars(own: Document, peers: Document) -> list[Bar]:
    ours = {figure.name: figure.value for figure in own.answer.figures}
    theirs = {figure.name: figure.value for figure in peers.answer.figures}
    facts = peers.answer.details["settings"]
    return [
        *(Bar(f"Onward {name}", ours[f"{name} p50"], "ours") for name in PRESETS),
        *(
            Bar(name, theirs[f"{name}: step p50"], "durable" if facts[name]["is_durable"] else "not durable")
            for name in facts
            if f"{name}: step p50" in theirs and name != OURS  # that has a bar among its own
        ),
    ]


def value_of(figure: Figure) -> str:
    return f"{figure.value:,.6g} {figure.unit}"


def ratio_of(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.3g} x {figure.to}"


if __name__ == "__main__":
    main()

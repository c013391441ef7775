"""What one Python file says about itself, and the sum of many: plain functions without Onward, so that a loop can check
the durable result.
"""

from __future__ import annotations

import ast
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED = frozenset({"site-packages", "dist-packages", "__pycache__"})
Documentable = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class FileFacts:
    """`error` is set for a file that does not parse (the standard library ships some on purpose); its numbers are then
    zero.
    """

    path: str
    lines: int = 0
    functions: int = 0
    documentable: int = 0
    documented: int = 0
    imports: list[str] = field(default_factory=list[str])
    error: str = ""


@dataclass
class Totals:
    files: int
    unreadable: int
    lines: int
    functions: int
    documentable: int
    documented: int
    top_imports: list[tuple[str, int]]

    @property
    def coverage(self) -> float:
        """Share of modules, classes and functions with a docstring."""
        return self.documented / self.documentable if self.documentable else 0.0


def python_files(directory: Path) -> list[str]:
    found = (path for path in directory.rglob("*.py") if not SKIPPED.intersection(path.relative_to(directory).parts))
    return sorted(str(path) for path in found)


def facts_of(path: str) -> FileFacts:
    try:
        with tokenize.open(path) as file:  # honours the coding line
            text = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text)
    except (SyntaxError, ValueError, UnicodeDecodeError) as error:
        return FileFacts(path, error=type(error).__name__)
    nodes = list(ast.walk(tree))
    documentable = [node for node in nodes if isinstance(node, Documentable)]
    return FileFacts(
        path,
        lines=text.count("\n"),
        functions=sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        documentable=len(documentable),
        documented=sum(ast.get_docstring(node, clean=False) is not None for node in documentable),
        imports=sorted({name for node in nodes for name in imported(node)}),
    )


def imported(node: ast.AST) -> list[str]:
    """The top-level packages that an import statement names."""
    match node:
        case ast.Import(names=names):
            return [alias.name.partition(".")[0] for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module.partition(".")[0]]
        case _:
            return []


def totals_of(facts: Iterable[FileFacts]) -> Totals:
    known = list(facts)
    counted = Counter(name for one in known for name in one.imports)
    return Totals(
        files=len(known),
        unreadable=sum(bool(one.error) for one in known),
        lines=sum(one.lines for one in known),
        functions=sum(one.functions for one in known),
        documentable=sum(one.documentable for one in known),
        documented=sum(one.documented for one in known),
        top_imports=sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:10],
    )


def report_of(directory: str, totals: Totals) -> str:
    imports = "\n".join(f"| {name} | {count} |" for name, count in totals.top_imports)
    return (
        f"# {directory}\n\n"
        f"| what | count |\n|---|---|\n| files | {totals.files} |\n| not parseable | {totals.unreadable} |\n"
        f"| lines | {totals.lines} |\n| functions | {totals.functions} |\n"
        f"| docstring coverage | {totals.coverage:.1%} |\n\n"
        f"| most imported | files |\n|---|---|\n{imports}\n"
    )

"""Pages of the documentation as the tests see them: their blocks of code, and the program that the Python ones are.

    PAGE = Page("docs/waits.md")

    async def test_the_program_waits() -> None:
        page = PAGE.program()
        async with TestEngine(page.functions) as engine:
            ...

    @pytest.mark.parametrize("name", PAGE.tests())      # tests that stand in the page itself
    async def test_a_test_of_the_page_passes(name: str) -> None:
        await PAGE.run_test(name)

All Python blocks of a page are one program, in the order of the page. What nobody should run is not marked `python`.
"""

from __future__ import annotations

import ast
import atexit
import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from inspect import isawaitable
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\b")
_numbers = itertools.count(1)


class Page:
    """One page, by its path in the project."""

    def __init__(self, path: str) -> None:
        self.path = ROOT / path
        self.text = self.path.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """Return the blocks of code in a language, in their order."""
        return [source for _, source in self._blocks(language)]

    def files(self) -> dict[str, str]:
        """Return the Python blocks that begin with a file's name: `# app.py`."""
        named = [(_FILE.match(source), source) for source in self.blocks("python")]
        return {found[1]: source for found, source in named if found}

    def program(self) -> ModuleType:
        """Return a new module in which all Python blocks were executed; tracebacks name the lines of the page. Other
        processes can import it by its name.
        """
        module = ModuleType(f"{self.path.stem}_page_{next(_numbers)}")
        _folder().joinpath(f"{module.__name__}.py").write_text("\n".join(self.blocks("python")), encoding="utf-8")
        sys.modules[module.__name__] = module  # types are looked up by its name
        for line, source in self._blocks("python"):
            code = compile("\n" * line + source, str(self.path), "exec", dont_inherit=True)
            exec(code, module.__dict__)
        return module

    def tests(self) -> list[str]:
        """Return the names of the test functions of the page."""
        nodes = [node for source in self.blocks("python") for node in ast.parse(source).body]
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return [function.name for function in functions if function.name.startswith("test_")]

    async def run_test(self, name: str) -> None:
        """Run one of `tests()` in a program of its own."""
        result = getattr(self.program(), name)()
        if isawaitable(result):
            await result

    def _blocks(self, language: str) -> Iterator[tuple[int, str]]:
        """Yield how many lines stand before a block's own, and the block."""
        for found in _BLOCK.finditer(self.text):
            if found[1] == language:
                yield self.text.count("\n", 0, found.start(2)), found[2]


@cache
def _folder() -> Path:
    """Return where the programs of this process stand as files."""
    folder = mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.path.append(folder)
    return Path(folder)

"""The generated blocks of `docs/cli.md` and `docs/errors.md`. After a change of a command or of an error:
`python -m tests.unit.cli.command_reference`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from onward_cli import tree
from onward_cli.catalogue import GROUPS, explanations
from onward_cli.config import SETTINGS, variable_of
from onward_cli.configuring import defaults
from onward_cli.examples import EXAMPLES

DOCS = Path(__file__).parents[3] / "docs"
COMMANDS = DOCS / "cli.md"
ERRORS = DOCS / "errors.md"
_READ_BY_THE_SDK = {
    "compression": "`auto`, `zstd` or `off`: results of 4 KiB and more on their way to another machine."
}


def with_blocks(page: str) -> str:
    """Return a page with every generated block as the sources would have it now."""
    for name in re.findall(r"<!-- generated: (\w+) -->", page):
        pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = _BLOCKS[name]()
        page = pattern.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)  # noqa: B023 - used at once
    return page


def _commands() -> str:
    rows = [f"| [`worker {path}`](#worker-{_anchor(path)}) | {_first_line(one)} |" for path, one, _ in _leaves()]
    return "| | |\n|---|---|\n" + "\n".join(rows)


def _settings() -> str:
    uses, built_in = tree.options(), defaults()
    rows: list[str] = []
    for name in SETTINGS:
        variable = variable_of(name)
        where = ", ".join(_groups([path for path, _ in uses.get(variable, [])])) or "all that connect"
        what = _plain_help(uses[variable][0][1]) if variable in uses else _READ_BY_THE_SDK[name]
        default = f"`{built_in[variable]}`" if built_in.get(variable) else ""
        rows.append(f"| `{name}` | `{variable}` | {default} | {_cell(what)} | {where} |")
    return "| in a file | in the environment | default | | of |\n|---|---|---|---|---|\n" + "\n".join(rows)


def _groups(paths: list[str]) -> list[str]:
    """Name few commands, and many by what they have in common."""
    if len(paths) > 8:
        return ["all that " + ("write data" if "events list" in paths and "errors" in paths else "connect")]
    return [f"`{path}`" for path in paths]


def _reference() -> str:
    return "\n\n".join(_command(path, one, context) for path, one, context in _leaves())


def _command(path: str, command: Any, context: Any) -> str:
    usage = " ".join(command.get_usage(context).removeprefix("Usage:").split())
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    rows = [f"| {_cell(_names(param, context))} | {_default(param)} | {_cell(_help_of(param))} |" for param in params]
    table = "| | default | |\n|---|---|---|\n" + "\n".join(rows) if rows else ""
    examples = "\n".join(EXAMPLES.get(path, ()))
    shown = f"```\n{usage}\n```" + (f"\n\nFor example:\n\n```\n{examples}\n```" if examples else "")
    return "\n\n".join(filter(None, (f"### worker {path}", _paragraphs(command), shown, table)))


def _names(param: Any, context: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.make_metavar(context)}`"
    value = "" if param.is_flag else " " + str(param.metavar or param.make_metavar(context)).strip("<>")
    names = ", ".join(f"`{name}`" for name in sorted([*param.opts, *param.secondary_opts], key=len))
    return f"{names}{f'`{value}`'.replace('` ', ' `') if value else ''}"


def _default(param: Any) -> str:
    default = getattr(param.default, "value", param.default)
    if callable(default) or default in (None, "", False, ()):
        return "" if not param.required else "needed"
    return f"`{str(default).lower() if default is True else default}`"


def _help_of(param: Any) -> str:
    variable = tree.variable_of(param)
    return f"{_plain_help(param)} `{variable}`" if variable else _plain_help(param)


def _plain_help(param: Any) -> str:
    text = re.sub(r"\s*\[env var: [^\]]*\]\.?", "", getattr(param, "help", None) or "").strip()
    return text if text.endswith(".") or not text else f"{text}."


def _paragraphs(command: Any) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))


def _first_line(command: Any) -> str:
    return _cell(_paragraphs(command).split("\n\n")[0].partition(". ")[0].rstrip(".") + ".")


def _leaves() -> list[tuple[str, Any, Any]]:
    return [one for one in tree.commands() if not getattr(one[1], "commands", None)]


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _codes() -> str:
    known = explanations()
    return "\n\n".join(
        f"## {title}\n\n| code | what it means | usually | what to do |\n|---|---|---|---|\n"
        + "\n".join(
            f"| `{code}` | {_cell(one.meaning)} | {_cell(one.cause)} | {_cell(one.action)} |"
            for code, one in ((code, known[code]) for code in group)
        )
        for title, group in GROUPS.items()
    )


_BLOCKS = {"commands": _commands, "settings": _settings, "reference": _reference, "codes": _codes}

if __name__ == "__main__":
    for file in (COMMANDS, ERRORS):
        file.write_text(with_blocks(file.read_text()))

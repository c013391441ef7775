"""Every error that can be shown, by its code: what it means, what usually causes it, and what to do.

A code stays the same for ever, and what is said of it may become better. The tests look into all sources: a code that
is used has an entry, and an entry has a code that is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from onward_cli.catalogue.command import COMMAND, DATABASE, OURS
from onward_cli.catalogue.declarations import DECLARATIONS
from onward_cli.catalogue.doctor import DOCTOR
from onward_cli.catalogue.engine import ENGINE
from onward_cli.catalogue.entry import Entry
from onward_cli.catalogue.processes import PROCESSES
from onward_cli.catalogue.running import RUNS, VALUES
from onward_cli.refusals import KNOWN

GROUPS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Declarations and options": DECLARATIONS,
    "Values": VALUES,
    "Runs": RUNS,
    "The engine": ENGINE,
    "The command": COMMAND,
    "The way to the engine": DOCTOR,
    "Processes": PROCESSES,
    "The engine's database": DATABASE,
    "Ours": OURS,
}
"""All entries, in the order of their codes."""


class Explanation(NamedTuple):
    """All that is known of an error. `reasons` are the names that the engine has for it in its answers, `types` those
    of the classes that it has in Python, and in the records of runs.
    """

    code: str
    meaning: str
    cause: str
    action: str
    reasons: tuple[str, ...]
    types: tuple[str, ...]


def explanations() -> dict[str, Explanation]:
    """Return everything, by code."""
    from onward.help import HELP

    entries = {code: entry for group in GROUPS.values() for code, entry in group.items()}
    return {code: _explained(code, entry, HELP) for code, entry in entries.items()}


def _explained(code: str, entry: Entry, helps: Mapping[str, str]) -> Explanation:
    reasons = tuple(name for name, known in KNOWN.items() if known.code == code)
    types = tuple(name for name, its_code in _codes_of_types().items() if its_code == code)
    advice = dict.fromkeys(KNOWN[name].advice for name in reasons)
    action = entry.action or helps.get(code) or "; or ".join(advice)
    return Explanation(code, entry.meaning, entry.cause, _sentence(action), reasons, types)


@cache
def _codes_of_types() -> dict[str, str]:
    from onward import errors

    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.OnwardError)]
    return {one.__name__: one.code for one in classes if one.code}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "`")) else ".")

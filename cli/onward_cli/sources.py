"""The user's code while somebody works on it: which files have changed since the workers that run have read them."""

from __future__ import annotations

from pathlib import Path

from onward_cli.watch import changed, snapshot


class Sources:
    """The Python files below the current directory. Those that were written later than `since_ns`, of the time of day,
    have changed.
    """

    def __init__(self, since_ns: int) -> None:
        self._folder = Path.cwd()
        files = snapshot(self._folder)
        self._read = {path: time_ns for path, time_ns in files.items() if time_ns < since_ns}

    def remember(self) -> None:
        """Note that they are read now."""
        self._read = snapshot(self._folder)

    def changes(self) -> list[str]:
        """Return the files that are new, gone or different, and remember them as they are now."""
        now = snapshot(self._folder)
        files = changed(self._read, now)
        self._read = now
        return [path.removeprefix(f"{self._folder}/") for path in files]

"""Stands for the world outside: card companies, mail servers, tables. It prints and remembers what is done there."""

from __future__ import annotations

done: list[str] = []


def do(what: str) -> None:
    """Have an effect that nobody can take back."""
    done.append(what)
    print(what, flush=True)

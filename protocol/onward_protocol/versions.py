"""Which version of the protocol a connection speaks."""

from __future__ import annotations


def common_version(ours: tuple[int, int], theirs: tuple[int, int]) -> int | None:
    """Return the highest version in both ranges, or None."""
    version = min(ours[1], theirs[1])
    return version if version >= max(ours[0], theirs[0]) else None


def version_advice(engine: tuple[int, int], worker: tuple[int, int]) -> str:
    """Say, of two ranges without a common version, which side is to be upgraded."""
    older = "the engine" if engine[1] < worker[0] else "the worker's onward package"
    return (
        f"the engine speaks protocol versions {engine[0]} to {engine[1]}, "
        f"the worker {worker[0]} to {worker[1]}: upgrade {older}"
    )

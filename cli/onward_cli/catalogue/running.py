"""E02xx: values. E03xx: runs, as they fail in the user's code."""

from __future__ import annotations

from typing import Final

from onward_cli.catalogue.entry import Entry

VALUES: Final = {
    "E0201": Entry(
        "A value cannot be encoded, or what is stored does not fit its annotation.",
        "A step returns an object of a class that is not registered, or its annotation was changed since.",
    ),
    "E0202": Entry("A value is larger than the engine keeps.", "A file or a whole table is returned by a step."),
    "E0203": Entry("A payload cannot be decrypted.", "This process does not have the key that it was encrypted with."),
    "E0204": Entry(
        "Data does not fit the annotation that it is read with.",
        "An event lacks a field, or a class was changed since.",
    ),
    "E0205": Entry("A blob is not what was stored.", "Somebody has changed a file of the blob store."),
}

RUNS: Final = {
    "E0301": Entry("A step failed for good.", "Its last attempt raised, or it raised `NonRetryable`."),
    "E0302": Entry(
        "An invoked function failed, was cancelled, or took too long.", "It raised, and has no attempts left."
    ),
    "E0303": Entry("A run ended without a result.", "Its function raised, it was cancelled, or it was skipped."),
    "E0304": Entry(
        "The worker died while it ran this attempt.", "It was killed for its memory, or crashed in native code."
    ),
    "E0305": Entry(
        "The code asks for something else than it did before.",
        "A step was added, removed or renamed while the run was in flight, or the code depends on time, chance or the "
        "environment.",
    ),
    "E0306": Entry("A durable call was made inside of a step.", "A step's body uses the context of its run."),
    "E0307": Entry(
        "The order of what happens would differ on a replay.", "Tasks are made in random order, or in callbacks."
    ),
    "E0308": Entry(
        "A durable call came from a thread that is not the run's.", "The function has started a thread itself."
    ),
    "E0309": Entry(
        "An attempt took longer than the step's `timeout`.", "What it waits for hangs, or the limit is too tight."
    ),
    "E0310": Entry(
        "`ctx.patch` was asked without `await`.", "In an async function `if ctx.patch(...)` would always be true."
    ),
    "E0311": Entry(
        "The process that ran a step died.",
        "It was killed for its memory, crashed in native code, or called `os._exit()`.",
    ),
    "E0312": Entry(
        "A value cannot go to another process.",
        'A step with `executor="process"` is given or returns a connection, a lock, or a function that has no name.',
    ),
    "E0313": Entry(
        "Something has replaced functions of the event loop.",
        "A library patches the loop while the worker runs; runs on it could not be replayed.",
    ),
    "E0314": Entry("Middleware called `next()` twice.", "It tries again what only Onward may try again."),
    "E0315": Entry("A function called `sys.exit()`.", "Code that was written as a program runs as a function."),
    "E0316": Entry("The journal of a run has a gap.", "Somebody has changed the database, or Onward has a mistake."),
    "E0317": Entry("Middleware cancelled itself.", "A hook raises `CancelledError`, or cancels its own task."),
    "E0318": Entry("What follows a step's attempt failed.", "Its result could not be handed on to the run."),
}

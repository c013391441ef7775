"""E05xx: the command and what it is given. E06xx: an engine's database. E0999: our own mistakes."""

from __future__ import annotations

from typing import Final

from onward_cli.catalogue.entry import Entry

COMMAND: Final = {
    "E0500": Entry(
        "The command was not understood.",
        "An option or argument is misspelt, missing or one too many, or has a value that it cannot have.",
        "See the command's `--help`; every command is listed by `worker --help`.",
    ),
    "E0501": Entry(
        "What was waited for did not happen in time.",
        "The run takes longer than `--timeout`, or no worker has its function.",
        "Wait longer, or ask what it waits for: `worker runs why RUN`.",
    ),
    "E0502": Entry(
        "What is to be loaded is not written as a module.",
        "A file's path was given, or nothing stands before or behind the colon.",
        "Write `module:attribute`, such as `app:functions`.",
    ),
    "E0503": Entry(
        "There is no such module.",
        "The command was started in another folder, or a package is not installed.",
        "Run it in the folder that has the module, or install its package.",
    ),
    "E0504": Entry(
        "A module raised while it was imported.",
        "The mistake is in the module, or in one that it imports; the traceback names the line.",
        "Try it alone: `python -c 'import app'`.",
    ),
    "E0505": Entry(
        "The module has no such attribute.",
        "The name behind the colon is misspelt.",
        "Name the App as the module does: `functions = App('name')` is `app:functions`.",
    ),
    "E0506": Entry(
        "The data is not JSON.",
        "The shell has taken the quotes, or keys have none.",
        'Quote all of it for the shell, as in `\'{"id": "o1"}\'`, or use `@file` or `-`.',
    ),
    "E0507": Entry(
        "A file cannot be read or written.",
        "It is not there, or not text, or its folder is read-only.",
        "Check its path; text has to be UTF-8.",
    ),
    "E0508": Entry(
        "A value is missing, or not written as it has to be.",
        "Nothing says which runs are meant, or a label has no value.",
        "Do as the message says; the command's `--help` has examples.",
    ),
    "E0509": Entry(
        "A run's id and options that name other runs exclude each other.",
        "Both were given.",
        "Give the id alone, or no id.",
    ),
    "E0510": Entry(
        "Nothing is changed unless somebody says yes to the number.",
        "A command that changes many things was given without `--yes`.",
        "Look at the number and at the sample, and give the same command with `--yes`.",
    ),
    "E0511": Entry(
        "It is not said what a limit is to be.",
        "Neither a number nor `--reset` was given, or both.",
        "Give a number, or `--reset` for what the code says.",
    ),
    "E0512": Entry(
        "The heartbeat cannot be written.",
        "The directory of `--run-dir` is read-only or belongs to somebody else.",
        "Name a directory of this worker's own, best one in memory.",
    ),
    "E0513": Entry(
        "It is not known where the worker leaves its heartbeat.",
        "`ONWARD_RUN_DIR` is set for the worker only, or not at all.",
        "Set it for `worker run` and for `worker probe` to the same directory.",
    ),
    "E0514": Entry(
        "A file of settings cannot be used.",
        "`onward.toml`, or `[tool.onward]` in `pyproject.toml`, is no TOML, or has a key or a value that cannot be.",
        "Mend the line that the message names; `worker config show` lists all settings.",
    ),
    "E0515": Entry(
        "No file is overwritten.",
        "`worker init` was given a folder that has one of its files already.",
        "Name another folder, or move the files away.",
    ),
    "E0516": Entry(
        "There is no such error code.",
        "The code is misspelt, or of another release.",
        "`worker errors` lists all of them.",
    ),
    "E0517": Entry(
        "What an App does around all of its runs has failed: its lifespan, or the start or end of its middleware.",
        "Something that it opens cannot be reached; the traceback names the line.",
        "Mend that line, or start the worker when what it needs is there.",
    ),
    "E0518": Entry(
        "Something cannot be written, because the disk is full or a quota is used up.",
        "The disk of the output, or of a file that the command was given.",
        "Make room there.",
    ),
}

DATABASE: Final = {
    "E0600": Entry(
        "A part of Onward is not installed.",
        "The engine and its stores are extras, which a worker does not need.",
        "Install what the message names, such as `pip install 'onward[engine]'`.",
    ),
    "E0601": Entry(
        "The engine cannot listen on its address.",
        "Another process has the port, often an engine that was forgotten.",
        "Stop the other one, or choose another port with `--port`.",
    ),
    "E0602": Entry(
        "The database cannot be opened by this engine.",
        "Another engine has the file, its schema is newer, or the server cannot be reached.",
        "The message says which; a file belongs to one engine at a time.",
    ),
    "E0603": Entry(
        "The engine's disk is full.",
        "The database has grown, or something else has.",
        "Free some space and start the engine again; what it has acknowledged is safe.",
    ),
    "E0604": Entry(
        "The database failed while the engine was at work.",
        "The disk or the server went away; what was acknowledged is safe.",
        "Look into the database's log, and start the engine again.",
    ),
    "E0605": Entry(
        "The engine cannot write its files.",
        "The folder of the database is read-only or belongs to somebody else.",
        "Choose another place with `--db`.",
    ),
    "E0606": Entry(
        "The database has problems.",
        "A disk has failed, or somebody wrote into it.",
        "Stop the engine, keep a copy of the database, and go on from the newest backup without any.",
    ),
    "E0607": Entry(
        "`worker engine backup` copies SQLite files only.",
        "The database is PostgreSQL, which has its own tool.",
        "Use `pg_dump --format=custom --schema=onward`.",
    ),
}

OURS: Final = {
    "E0999": Entry(
        "A mistake in Onward itself.",
        "Something happened that nobody had thought of.",
        "Run the command again with `-v`, and report what it prints together with `worker version`.",
    ),
}

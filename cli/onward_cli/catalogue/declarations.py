"""E01xx: what is wrong with a declaration or an option. Found before anything runs, wherever that can be."""

from __future__ import annotations

from typing import Final

from onward_cli.catalogue.entry import Entry

DECLARATIONS: Final = {
    "E0101": Entry(
        "Two functions have the same id.",
        "Two functions have the same name, or a module is loaded by two names; the id of a function is `app/name`.",
    ),
    "E0102": Entry(
        "A name is not allowed: of an App, a function, a step, an event, a key.",
        "It is empty, too long, or has characters that are not printable.",
    ),
    "E0103": Entry(
        "What names a field of an event's data is not a path.",
        "`match=` was given a value or an expression instead of a path.",
    ),
    "E0104": Entry("A duration cannot be read.", "A unit is missing or misspelt, or the duration is negative."),
    "E0105": Entry("An option has a value that it cannot have.", "A number is too large, too small, or not one."),
    "E0106": Entry(
        "The annotations of a function cannot be read.",
        "A class that they name is imported for type checkers only, or defined inside of a function.",
    ),
    "E0107": Entry(
        "A type has no encoding.",
        "A parameter or a result is annotated with a class that nobody said how to store, or with a union whose "
        "members look alike once they are stored.",
    ),
    "E0108": Entry(
        "What was to be loaded has no functions in it.", "The name behind the colon is not an App, or the App is empty."
    ),
    "E0109": Entry(
        "A blocking call was made in async code, or the other way round.",
        "A `def` step is called directly in an `async def` function, which would stop all other runs of the worker.",
    ),
    "E0110": Entry(
        "Several Apps of one worker have a lifespan.", "Apps that each open their own connections are loaded together."
    ),
    "E0111": Entry(
        "A durable call was made outside of a run.",
        "A task or a thread that the run did not make uses its context, or code calls it that no run has called.",
    ),
    "E0112": Entry(
        "A function does not take what it is given.", "It has no parameter for the context, or one too many."
    ),
    "E0113": Entry(
        "An App has several mistakes, each with a line of its own.", "They were found together, before anything ran."
    ),
    "E0114": Entry("The engine's address is no URL.", "`http://` is missing, or a name and password are in it."),
    "E0115": Entry("The token's file cannot be read.", "It is not there yet, or belongs to somebody else."),
    "E0116": Entry("A moment has no time zone.", "`datetime.now()` was called without one."),
    "E0117": Entry(
        "Something is no event, or no trigger.", "`on()` or `send()` was given a name instead of an `EventType`."
    ),
    "E0118": Entry("A checkpoint setting cannot be read.", "A preset is misspelt, or a value has no name."),
    "E0119": Entry("Compression was asked for and is not possible.", "The package `backports.zstd` is missing."),
    "E0120": Entry(
        "Something in a list of middleware is no middleware.", "A class stands there instead of its object."
    ),
    "E0121": Entry(
        "A cron expression or its time zone cannot be read.", "It has six fields, or the zone is an abbreviation."
    ),
    "E0122": Entry(
        "A prefix of event names stands where one name is needed.", "A `*` is in the name of an event that is sent."
    ),
    "E0123": Entry(
        "An option has a value of the wrong kind.", "A number or text stands where an object of options is needed."
    ),
    "E0124": Entry(
        "What was to be started or invoked is no function of an App.", "Its name was given, or what was decorated."
    ),
    "E0125": Entry("A name is not text.", "A number or bytes were given as an id."),
    "E0126": Entry(
        "A step is made of something that cannot be called.", "The function was called instead of being passed on."
    ),
    "E0127": Entry(
        "An expression cannot be read.", "It has a misspelt name, or syntax that is Python's and not of expressions."
    ),
    "E0128": Entry("Two options of a function exclude each other.", "Both decide what becomes of the same events."),
    "E0129": Entry(
        "An option needs an event, and the function is only called.",
        "A function made by `@app.function` has an option for triggers.",
    ),
    "E0130": Entry(
        "A step for other processes is not one that they can find.",
        "It is a method, a lambda, or defined inside of a function.",
    ),
    "E0131": Entry(
        "A type that needs no registration was registered.",
        "`register_type` was called for a class that is encoded natively, such as a dataclass.",
    ),
    "E0132": Entry("An event has no time yet.", "The time of an event is read before it was sent."),
}

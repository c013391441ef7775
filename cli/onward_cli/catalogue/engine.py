"""E04xx: between us and the engine."""

from __future__ import annotations

from typing import Final

from onward_cli.catalogue.entry import Entry

ENGINE: Final = {
    "E0400": Entry(
        "The engine refused, for a reason that this release does not know.",
        "The engine is newer, or something between us and it has answered.",
        "Read the message, and compare `worker version` with the engine's release.",
    ),
    "E0401": Entry("The engine cannot be reached.", "It does not run, or listens elsewhere, or a firewall is between."),
    "E0402": Entry(
        "The engine does not accept the token, or where the request comes from.",
        "There is no token, or another engine's.",
    ),
    "E0403": Entry(
        "Worker and engine speak different versions of the protocol.",
        "One of the two was not updated for several releases.",
    ),
    "E0404": Entry(
        "The token and all data would cross a network unencrypted.",
        "The address begins with `http://` and is another machine's.",
    ),
    "E0405": Entry(
        "The engine has failed, or does not take this worker.", "A mistake of the engine's, or a limit of it."
    ),
    "E0406": Entry(
        "The address of a proxy cannot be used.",
        "It has no scheme or no port, or a scheme that is none of `http`, `https` and `socks5h`.",
    ),
    "E0407": Entry(
        "TLS cannot be set up with the files that were named.",
        "A certificate or a key is not there, does not belong to the other, or has a password.",
    ),
    "E0408": Entry(
        "The proxy wants a user and a password, or not these.", "They are not in the proxy's address, or have changed."
    ),
    "E0409": Entry(
        "The certificate of the engine, or of a proxy, is not trusted.",
        "It is of a company's own authority, has expired, or somebody on the way opens what is encrypted.",
    ),
    "E0410": Entry(
        "The engine wants a certificate of its clients.", "None was given, or one that another authority has signed."
    ),
    "E0411": Entry("There is no such run.", "The id is misspelt, or the run is older than what the engine keeps."),
    "E0412": Entry(
        "No worker has registered such a function.", "Its id is `app/name`; or no worker with it was connected yet."
    ),
    "E0413": Entry("The run is over already.", "It ended in the meantime."),
    "E0414": Entry("The id was used before for something else.", "A fixed id is used for different events or calls."),
    "E0415": Entry("A request is larger than is allowed.", "An event carries a file."),
    "E0416": Entry(
        "The engine did not understand the request.",
        "The engine is of another release, or the address is not an engine's.",
    ),
    "E0417": Entry("The engine takes nothing right now.", "It stops, or more waits to be stored than it can hold."),
    "E0418": Entry("The engine's disk is full.", "Runs are kept for longer than there is space; see `--retention`."),
    "E0419": Entry("An expression cannot be read.", "Quotes are missing, or the shell has taken them."),
    "E0420": Entry("There is no such event.", "The id is misspelt, or the event is older than what the engine keeps."),
    "E0421": Entry("The run has no output.", "It failed, was cancelled, or still runs."),
    "E0422": Entry("No run waits for such a signal.", "The name is misspelt, or the run waits only later."),
    "E0423": Entry(
        "A run has too many signals that it has not waited for.", "They are sent faster than it takes them."
    ),
    "E0424": Entry("Nobody waits for an answer at this address.", "The run is over, or the address is cut off."),
    "E0425": Entry("The callback was answered before.", "The answer was sent twice, with different content."),
    "E0426": Entry("The run cannot be forked there.", "It has no step of this key."),
    "E0427": Entry("There is no such schedule.", "The function has none, or its worker was never connected."),
    "E0428": Entry("No event of this id is still to come.", "It has come in already, or was taken back."),
    "E0429": Entry("Too many runs of the function wait already.", "More comes in than its workers do."),
    "E0430": Entry("Other engines share this database.", "This changes what only one engine may change."),
    "E0431": Entry("The function has no such limit.", "A limit can be changed only if the code has it."),
    "E0432": Entry("The function could not have such a limit.", "The number is too large, too small, or not one."),
    "E0433": Entry("A proxy does not lead on to the engine.", "Its rules do not allow the engine's name or port."),
    "E0434": Entry(
        "Encryption could not be agreed on.",
        "What listens there does not speak TLS, or something on the way ends such connections.",
    ),
}

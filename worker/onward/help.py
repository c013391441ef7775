"""What to do about each error of the SDK: stable codes, one sentence each. E01xx declarations, E02xx values, E03xx
runs, E04xx the engine.
"""

from __future__ import annotations

from typing import Final

HELP: Final[dict[str, str]] = {
    "E0101": "Give one of the two another id, for example `@app.on(..., id='another')`.",
    "E0102": "Use 1 to 160 bytes of printable text; for apps and functions only letters, digits, '_', '.' and '-'.",
    "E0103": "Write the path of a field of the event's data, such as 'customer.id'.",
    "E0104": "Write a duration as a timedelta, as seconds, or as text such as '30s', '10m', '4m45s' or '24h'.",
    "E0105": "Choose a value inside the limits that the message names.",
    "E0106": "Define the class at module level, import it outside of `if TYPE_CHECKING`, or leave the annotation out.",
    "E0107": "Annotate with a supported type (builtins, dataclasses, msgspec Structs, TypedDict, attrs, pydantic), "
    "tag the members of a union, or call `onward.register_type` for the class.",
    "E0108": "Pass an App, a Function, a list of these, or a module that contains them.",
    "E0109": "In an async function write `await step.aio(...)`; in a sync function call the step directly.",
    "E0110": "Keep one lifespan, in the App that the worker loads, and open everything there.",
    "E0111": "Call it inside the function that the worker runs, or use a Client.",
    "E0112": "Declare the function as `def f(ctx)` or `async def f(ctx)`, and the failure handler with (ctx, error).",
    "E0113": "Fix each line above; nothing was started.",
    "E0114": "Set ONWARD_URL to something like http://127.0.0.1:8484.",
    "E0115": "Set ONWARD_TOKEN_FILE to a file that this process may read, or use ONWARD_TOKEN.",
    "E0116": "Give it one, for example `datetime.now(UTC)` or `.astimezone()`.",
    "E0117": "Declare it once, for example `OrderPlaced = EventType('shop/order.placed', Order)`.",
    "E0118": "Write a preset, values such as 'buffered_steps=3,max_interval=3s', or both: 'pipelined,max_runtime=5m'. "
    "In code a Checkpoint, True or False will do too.",
    "E0119": "Install it with `pip install 'onward[zstd]'` on both sides, or leave ONWARD_COMPRESSION unset.",
    "E0120": "Write `middleware=[A(), B()]`: objects of classes that derive from `onward.Middleware`, with `async def` "
    "hooks.",
    "E0121": "Write five fields such as '0 3 * * 1-5' or an alias such as '@daily'; a zone is like 'Europe/Berlin'.",
    "E0122": "A prefix such as 'shop/*' only starts functions; to send an event or wait for one, write its whole name.",
    "E0123": "Write it as the message says, for example `retry=Retry(attempts=3)` or `timeouts=Timeouts(step='30s')`.",
    "E0124": "Pass the function itself, as `@app.function(...)` or `@app.on(...)` has made it.",
    "E0125": "Give it as `str`; half of a surrogate pair is no character.",
    "E0126": "Pass the function itself, and behind it what it is called with: `ctx.step.run('email', send_email, to)`.",
    "E0127": "Write an expression over `event`, such as 'event.data.customer', or as a condition "
    "'event.data.total > 100'.",
    "E0128": "Options that decide what becomes of the same events or runs exclude each other; take one out.",
    "E0129": "Take it out, or start the function by an event with `@app.on(...)`; what is called always starts.",
    "E0130": "Define it with `def` at the top level of a module that the worker imports, or leave `executor` out.",
    "E0131": "Take the registration out, or keep such values as a class of your own.",
    "E0132": "Give it one with `ts=`; the events that a run gets have one.",
    "E0201": "Return plain data, a dataclass or a registered type, and annotate the return type.",
    "E0202": "Store the data in a file or an object store and return its address.",
    "E0203": "Give this process the key too, at first as `decrypt_only`; a run that has failed by it can be run again.",
    "E0204": "Send or store what fits the annotation, or change that: a field that older data lacks needs a default.",
    "E0205": "Look at who writes to the blob store; what was stored is not changed by Onward.",
    "E0301": "The original error is in `type`, `message` and `data`; catch StepFailed to go on without the step.",
    "E0302": "The original error is in `type`, `message` and `data`; the child run keeps its own record.",
    "E0303": "`worker runs show` has the run's steps and its error.",
    "E0304": "Look for memory limits and crashes of native code in the worker's log.",
    "E0305": "Give steps that moved an id of their own, or let runs in flight end before the code changes.",
    "E0306": "Call it in the function, and pass its result to the step.",
    "E0307": "A run is replayed after a crash, so everything in it has to happen in the same order again.",
    "E0308": "A thread of your own cannot be replayed: put its work into a step.",
    "E0309": "Raise the step's `timeout`, or let its body call `current_step().heartbeat()` more often.",
    "E0310": "Write `if await ctx.patch('name'):`; in a `def` function `if ctx.patch('name'):`.",
    "E0311": "Look in the worker's log for what native code has printed, and at the memory limit.",
    "E0312": "Pass plain data, or what the step needs to open it there: an address instead of a connection.",
    "E0313": "Install what changes the event loop before the worker starts, or in a process of its own.",
    "E0314": "Await `next()` once in the hook, and return what it returns.",
    "E0315": "Return, or raise an exception: only the run ends by it, and the worker goes on with the others.",
    "E0316": "Report it: a journal that has gaps is a mistake in Onward, or somebody has changed the database.",
    "E0317": "Let hooks raise what went wrong, and not `CancelledError`.",
    "E0318": "Report it with the traceback: it is a mistake in Onward, or in middleware.",
    "E0401": "Start an engine with `worker dev app:functions`, or set ONWARD_URL to the address of yours; "
    "`worker doctor` finds out where the way to it ends.",
    "E0402": "Set ONWARD_TOKEN, or ONWARD_TOKEN_FILE to a file such as the engine's `.onward/admin.token`.",
    "E0403": "Install the same release of onward on both sides; an engine also speaks to the two releases before it.",
    "E0404": "Use https://, or allow it with --insecure (ONWARD_INSECURE=1) in a network that you trust.",
    "E0405": "The message is the engine's own; its log says more.",
    "E0406": "Write it like http://user:password@proxy.example.com:3128; https:// and socks5h:// will do too, "
    "and 'direct' is none.",
    "E0407": "Name PEM files that this process may read: --ca-file, --client-cert, a --client-key without password.",
    "E0408": "Put user and password into the proxy's address: http://user:password@host:port. Only Basic is spoken; "
    "for NTLM or Kerberos run a local proxy that speaks it.",
    "E0409": "Set ONWARD_CA_FILE to the certificate of whoever has signed it; `worker doctor` shows who that is.",
    "E0410": "Set ONWARD_CLIENT_CERT and ONWARD_CLIENT_KEY to a certificate that --tls-client-ca has signed.",
    "E0433": "Let the proxy connect to the engine's host and port; `worker doctor` shows each step of the way.",
    "E0434": "Look whether the address begins with the right one of http:// and https://, and what stands in between: "
    "`worker doctor`.",
    "E0534": "Have every proxy and load balancer on the way pass the headers Upgrade and Connection on.",
}

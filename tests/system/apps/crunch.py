"""Steps in processes: one that never returns to the interpreter, and one that takes its time."""

import os
import re
import time

from onward import App, Context, Retry, step

from tests.support.processes import note

functions = App("crunch")


@step(executor="process", retry=Retry(attempts=1))
def never_ends() -> None:
    note("pid", os.getpid())
    re.match(r"(a+)+$", "a" * 60 + "b")


@step(executor="process", retry=Retry(attempts=1))
def takes_a_second() -> str:
    note("pid", os.getpid())
    time.sleep(1)
    return "done"


@step
async def greeting(name: str) -> str:
    return f"hello {name}"


@functions.function(str)
async def greet(ctx: Context[str]) -> str:
    return await greeting(ctx.data)


@functions.function(str)
async def crunch(ctx: Context[str]) -> str:
    if ctx.data == "second":
        return await takes_a_second.aio()
    await never_ends.aio()
    return "not reached"

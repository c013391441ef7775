"""A run whose steps return as much as they are asked for."""

from onward import App, Context, step

from tests.support.processes import note

STEPS = 8
functions = App("large")


@step
async def fill(run: int, n: int) -> str:
    note(run, n)
    return "x" * run


@functions.function(int)
async def filled(ctx: Context[int]) -> int:
    """Return the bytes of all steps, each as large as the input says."""
    return sum([len(await fill(ctx.data, n)) for n in range(STEPS)])

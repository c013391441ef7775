"""The crawler: a plain function, a thread for each page, and checkpoints that are not waited for.

Kept exactly as it stands in the documentation.
"""

# fmt: off
# ruff: noqa: I001
from dataclasses import dataclass
from onward import App, Checkpoint, EventType, SyncContext, step

@dataclass
class Batch:
    id: str
    urls: list[str]

@dataclass
class Page:
    url: str
    words: int

BatchReceived = EventType("crawl/batch.received", Batch)
functions = App("crawler", checkpoint=Checkpoint.PIPELINED)

@step
def fetch(url: str, *, limit: int = 10) -> Page:        # plain requests/psycopg code, own thread
    return Page(url, min(len(url), limit))

@step
def store(batch_id: str, pages: list[Page]) -> str | None:
    return None

@functions.on(BatchReceived)
def crawl(ctx: SyncContext[Batch]) -> int:
    pages = ctx.gather(*(lambda u=u: fetch(u, limit=20) for u in ctx.data.urls))    # tuple[Page, ...]
    ctx.sleep("30s")                                     # frees the thread, memo brings it back here
    store(ctx.data.id, list(pages))
    return sum(p.words for p in pages)

assert fetch("hello") == Page("hello", 5)                # outside a run: an ordinary function

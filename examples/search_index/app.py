"""A search index of many tenants over one slow model: `worker dev examples.search_index.app:functions`.

People type, scripts import, and everybody shares the model, which takes four calls at once. What is typed in one go is
indexed once; the tenants take turns, so that an import delays nobody else; each hears of many documents in one mail.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from onward import App, Batch, Concurrency, Context, Debounce, EventType, Fair, Singleton, step

from examples import outside


@dataclass
class Document:
    tenant: str
    id: str
    text: str = ""


@dataclass
class Rebuild:
    tenant: str
    documents: list[str]


Edited = EventType("search/document.edited", Document)
Indexed = EventType("search/document.indexed", Document)
RebuildWanted = EventType("search/rebuild.wanted", Rebuild)
functions = App("search")

MODEL = Concurrency(4, scope="app")  # all functions that call it have this limit, and share its places


@step
async def embed(document: Document) -> list[int]:
    outside.do(f"embed {document.tenant}/{document.id}: {document.text}")
    return sorted(Counter(document.text).values())


@step
async def write(document: Document, vector: list[int]) -> None:
    outside.do(f"write {document.tenant}/{document.id}: {vector}")


@step
async def mail(tenant: str, text: str) -> None:
    outside.do(f"mail to {tenant}: {text}")


@functions.on(
    Edited,
    debounce=Debounce("5s", key="event.data.tenant + '/' + event.data.id", timeout="1m"),
    fair=Fair("event.data.tenant"),
    concurrency=MODEL,
)
async def index(ctx: Context[Document]) -> None:
    await write(ctx.data, await embed(ctx.data))
    await ctx.send(Indexed(ctx.data))


@functions.on(RebuildWanted, singleton=Singleton("event.data.tenant"), concurrency=MODEL)
async def rebuild(ctx: Context[Rebuild]) -> int:
    for id in ctx.data.documents:
        document = Document(ctx.data.tenant, id, f"all of {id}")
        await write(document, await embed(document))
        await ctx.sleep("1s")  # the place is somebody else's meanwhile
    return len(ctx.data.documents)


@functions.on(Indexed, batch=Batch(100, timeout="10m", key="event.data.tenant"))
async def tell(ctx: Context[Document]) -> int:
    await mail(ctx.data.tenant, ", ".join(event.data.id for event in ctx.events))
    return len(ctx.events)

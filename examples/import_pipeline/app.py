"""Import a file in chunks with ordinary blocking code: `worker dev examples.import_pipeline.app:functions`.

Chunks are read in parallel, in threads. Reading may be repeated after a crash, so results are checkpointed behind the
run's back; writing may not, so that step is a barrier.
"""

from __future__ import annotations

from dataclasses import dataclass

from onward import App, Checkpoint, EventType, SyncContext, step

from examples import outside

CHUNK_ROWS = 100
AT_ONCE = 4


@dataclass
class Upload:
    name: str
    rows: int


@dataclass
class Chunk:
    first: int
    words: int


FileUploaded = EventType("import/file.uploaded", Upload)
functions = App("import", checkpoint=Checkpoint.PIPELINED)


@step
def read(upload: Upload, first: int) -> Chunk:
    rows = range(first, min(first + CHUNK_ROWS, upload.rows))
    return Chunk(first, sum(len(f"{upload.name} {row}".split()) for row in rows))


@step(barrier=True)
def write(upload: Upload, chunks: list[Chunk], *, key: str) -> int:
    outside.do(f"write {len(chunks)} chunks of {upload.name}, once for {key}")
    return sum(chunk.words for chunk in chunks)


@functions.on(FileUploaded)
def import_file(ctx: SyncContext[Upload]) -> int:
    upload, words = ctx.data, 0
    starts = range(0, upload.rows, CHUNK_ROWS)
    for place in range(0, len(starts), AT_ONCE):
        chunks = ctx.gather(*(lambda first=first: read(upload, first) for first in starts[place : place + AT_ONCE]))
        words += write(upload, list(chunks), key=f"{ctx.run_id}-{place}")
        ctx.progress({"rows": min((place + AT_ONCE) * CHUNK_ROWS, upload.rows), "of": upload.rows})
    return words

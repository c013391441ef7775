"""Where large payloads are kept: whatever can put and get bytes by name."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar
from uuid import uuid4

from onward.config import option_ms
from onward.durations import Duration
from onward.errors import ConfigError

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_FOLDER_CHARS: Final = 2
"""256 folders: a hundred million blobs are still some 400,000 in each."""

THREADS_MAX: Final = 8
"""A disk is not quicker with more."""

T = TypeVar("T")


class BlobStore(Protocol):
    """Keeps bytes under the name that they are given, 64 hexadecimal digits, and gives them back."""

    async def put(self, name: str, data: bytes) -> None:
        """Keep `data`. When this returns it is safe. May be repeated: a name always comes with the same data."""
        ...

    async def get(self, name: str) -> bytes:
        """Return what was put under `name`."""
        ...


class FileBlobStore:
    """Keeps blobs as files below `path`, which every worker and client has to share. Implements `BlobStore`.

    Nothing is deleted by itself: call `sweep` now and then, with a time that is longer than runs last and are kept.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path: Final = Path(path)
        # Those of asyncio are user code's too, which may block all of them.
        self._threads: Final = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="onward-blobs")

    async def put(self, name: str, data: bytes) -> None:
        """Keep `data`; on disk when this returns."""
        await self._in_thread(partial(self._write, self._place(name), data))

    async def get(self, name: str) -> bytes:
        """Return the blob. Raises `FileNotFoundError`."""
        return await self._in_thread(self._place(name).read_bytes)

    def sweep(self, older_than: Duration) -> int:
        """Delete the blobs that were put for the last time before so long, and return their number. Blocks."""
        before = time.time() - option_ms("FileBlobStore.sweep", "older_than", older_than) / 1000
        old = [file for file in self._path.glob("*/*") if file.is_file() and file.stat().st_mtime < before]
        for file in old:
            file.unlink(missing_ok=True)
        return len(old)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _place(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"FileBlobStore: {name!r} is not a blob's name.", code="E0105")
        return self._path / name[:_FOLDER_CHARS] / name

    def _write(self, file: Path, data: bytes) -> None:
        try:
            os.utime(file)  # it is there, and is needed for as long as what is put now
        except FileNotFoundError:
            self._write_new(file, data)

    def _write_new(self, file: Path, data: bytes) -> None:
        if not file.parent.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(self._path)
        unfinished = file.with_name(f".{file.name}.{uuid4().hex}")
        try:
            with unfinished.open("xb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Without it a crash of the machine may forget the name of what is safe itself."""
    if os.name == "nt":  # has no such thing
        return
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)

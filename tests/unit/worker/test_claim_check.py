"""Large payloads that are kept elsewhere."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from onward import ConfigError, OnwardError
from onward.middleware import ClaimCheck, FileBlobStore, PayloadInfo

STEP = PayloadInfo("step", "shop/work", "run_1", "load@0#0")
LARGE = os.urandom(1000)
NAME = sha256(LARGE).hexdigest()


def files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


async def test_a_large_payload_becomes_its_name_and_comes_back(tmp_path: Path) -> None:
    check = ClaimCheck(FileBlobStore(tmp_path), threshold=1000)
    payload = await check.encode(LARGE, STEP)
    assert len(payload) < 100
    assert await check.decode(payload, STEP) == LARGE
    assert files(tmp_path) == [f"{NAME[:2]}/{NAME}"]


async def test_a_small_one_stays_where_it_is(tmp_path: Path) -> None:
    check = ClaimCheck(FileBlobStore(tmp_path), threshold=1001)
    assert await check.encode(LARGE, STEP) == await check.decode(LARGE, STEP) == LARGE
    assert files(tmp_path) == []


async def test_the_same_bytes_are_kept_once_and_are_as_young_as_their_last_use(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    await store.put(NAME, LARGE)
    os.utime(tmp_path / NAME[:2] / NAME, (1, 1))
    await store.put(NAME, LARGE)
    assert len(files(tmp_path)) == 1
    assert store.sweep("1h") == 0


async def test_user_code_that_blocks_all_threads_of_asyncio_does_not_hold_up_a_store(tmp_path: Path) -> None:
    loop, release, store = asyncio.get_running_loop(), threading.Event(), FileBlobStore(tmp_path)
    loop.set_default_executor(ThreadPoolExecutor(1))
    blocked = asyncio.create_task(asyncio.to_thread(release.wait, 20))
    await asyncio.sleep(0)
    await store.put(NAME, LARGE)
    assert await store.get(NAME) == LARGE
    assert not blocked.done()
    release.set()
    await blocked


async def test_what_is_old_can_be_swept_out(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    await store.put(NAME, LARGE)
    long_ago = time.time() - 7200
    os.utime(tmp_path / NAME[:2] / NAME, (long_ago, long_ago))
    assert store.sweep("3h") == 0
    assert store.sweep("1h") == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63, "G" * 64, "", "a" * 63 + "\n"])
async def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    store = FileBlobStore(tmp_path)
    with pytest.raises(ConfigError, match="is not a blob's name"):
        await store.get(name)
    with pytest.raises(ConfigError, match="is not a blob's name"):
        await store.put(name, b"")


async def test_a_blob_that_was_changed_is_noticed(tmp_path: Path) -> None:
    check = ClaimCheck(FileBlobStore(tmp_path), threshold=1)
    payload = await check.encode(LARGE, STEP)
    (tmp_path / NAME[:2] / NAME).write_bytes(b"something else")
    with pytest.raises(OnwardError, match="has other bytes than were stored"):
        await check.decode(payload, STEP)


async def test_a_blob_that_is_gone_is_named(tmp_path: Path) -> None:
    check = ClaimCheck(FileBlobStore(tmp_path), threshold=1)
    payload = await check.encode(LARGE, STEP)
    (tmp_path / NAME[:2] / NAME).unlink()
    with pytest.raises(FileNotFoundError, match=NAME):
        await check.decode(payload, STEP)


async def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await FileBlobStore(tmp_path).put(NAME, LARGE)
    assert files(tmp_path) == []


def test_a_threshold_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a threshold of 0 bytes"):
        ClaimCheck(FileBlobStore(tmp_path), threshold=0)

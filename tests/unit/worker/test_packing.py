"""When a worker compresses what it sends, and with what."""

from __future__ import annotations

import sys

import pytest
from onward.connection.packing import choose_packing, find_zstd
from onward.errors import ConfigError
from onward_engine import packing as engine_packing
from onward_protocol.codec import decode_worker_frame
from onward_protocol.errors import ProtocolError
from onward_protocol.limits import Limits
from onward_protocol.messages import Packed
from onward_protocol.packing import Packing, pack, unpack

FAR, NEAR = "https://engine.example", "http://127.0.0.1:8484"
MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
DATA = b"".join(b'{"id": %d, "name": "somebody"}' % n for n in range(10_000))


def name(packing: Packing | None) -> str:
    return packing.name if packing else ""


@pytest.fixture
def without_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    package, _, module = MODULE.rpartition(".")
    monkeypatch.setitem(sys.modules, MODULE, None)
    monkeypatch.delattr(f"{package}.{module}", raising=False)


@pytest.mark.parametrize(
    ("url", "setting", "expected"),
    [
        (FAR, "", "zstd"),
        (FAR, "auto", "zstd"),
        (FAR, "off", ""),
        (NEAR, "", ""),
        (NEAR, "auto", ""),
        (NEAR, "zstd", "zstd"),
    ],
)
def test_a_far_engine_gets_compressed_frames_and_one_on_this_machine_only_if_asked_for(
    url: str, setting: str, expected: str
) -> None:
    assert name(choose_packing(url, {"ONWARD_COMPRESSION": setting})) == expected


@pytest.mark.usefixtures("without_zstd")
def test_without_the_package_everything_goes_as_it_is_unless_it_was_asked_for_by_name() -> None:
    assert choose_packing(FAR, {}) is None
    assert engine_packing.find_zstd.__wrapped__() is None
    with pytest.raises(ConfigError, match="not installed") as caught:
        choose_packing(FAR, {"ONWARD_COMPRESSION": "zstd"})
    assert "onward[zstd]" in str(caught.value)


def test_a_setting_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'gzip', not 'auto', 'zstd' or 'off'"):
        choose_packing(FAR, {"ONWARD_COMPRESSION": "gzip"})


def test_what_one_end_packs_the_other_unpacks() -> None:
    ours, theirs = find_zstd(), engine_packing.find_zstd()
    assert ours
    assert theirs
    for one, other in ((ours, theirs), (theirs, ours)):
        packed = decode_worker_frame(pack(one, DATA, Limits()))
        assert isinstance(packed, Packed)
        assert len(packed.data) < len(DATA) // 4
        assert unpack(other, packed.data, Limits()) == DATA


def test_a_bomb_a_wide_window_and_garbage_are_the_peers_fault() -> None:
    zstd = find_zstd()
    assert zstd
    magic = b"\x28\xb5\x2f\xfd"
    with pytest.raises(ProtocolError, match="too_large"):
        unpack(zstd, zstd.compress(bytes(100 << 20)), Limits())
    with pytest.raises(ProtocolError, match="malformed"):
        unpack(zstd, magic + bytes([0x00, (24 - 10) << 3, 0x01, 0x00, 0x00]), Limits())  # a window of 16 MiB
    assert unpack(zstd, magic + bytes([0x00, (23 - 10) << 3, 0x01, 0x00, 0x00]), Limits()) == b""
    for garbage in (b"", magic, b"garbage", zstd.compress(DATA)[:-1], zstd.compress(DATA) + b"x"):
        with pytest.raises(ProtocolError, match="malformed"):
            unpack(zstd, garbage, Limits())

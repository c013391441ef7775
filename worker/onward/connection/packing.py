"""Whether large frames are compressed on their way, and with what.

The worker decides: it knows the address that it dials, while an engine behind a proxy sees the proxy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

from onward_protocol.packing import Packing

from onward.address import is_loopback
from onward.errors import ConfigError

VARIABLE: Final = "ONWARD_COMPRESSION"

LEVEL: Final = 1
"""64 KiB of JSON become 17 to 24 KiB in 0.15 ms; level 3 takes twice as long for a twentieth less."""

WINDOW_LOG_MAX: Final = 23
"""8 MiB: what a peer can make this end keep for undoing one frame."""


def choose_packing(url: str, environ: Mapping[str, str] = os.environ) -> Packing | None:
    """Return what ONWARD_COMPRESSION asks for; by default zstd if it is there and the engine is not on this machine.

    The processor time for compressing pays off on lines of less than about 1 Gbit/s, and a loopback has more. Raises
    `ConfigError`.
    """
    wanted = environ.get(VARIABLE) or "auto"
    if wanted not in {"auto", "zstd", "off"}:
        raise ConfigError(f"{VARIABLE} is {wanted!r}, not 'auto', 'zstd' or 'off'.", code="E0119")
    if wanted == "off" or (wanted == "auto" and is_loopback(url)):
        return None
    packing = find_zstd()
    if packing is None and wanted == "zstd":
        raise ConfigError(f"{VARIABLE} asks for zstd, which is not installed.", code="E0119")
    return packing


def find_zstd() -> Packing | None:
    """Return Zstandard if this Python, or a package in it, has it."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        return None
    window: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
    return Packing(
        "zstd",
        lambda data: zstd.compress(data, LEVEL),
        lambda: zstd.ZstdDecompressor(options=window),
        zstd.ZstdError,
    )

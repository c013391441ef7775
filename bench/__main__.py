"""All benchmarks, one after the other, and one table: figure, bar, met or missed, ratio to the machine's primitives.

    python -m bench [NAME...] [--smoke]

Each one runs in a process of its own, and its whole answer is appended to build/bench/NAME.json. A bar that is missed
does not fail; an answer that is wrong does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import msgspec

from .report import Document, table

NAMES = (
    "step_latency",
    "throughput",
    "start_latency",
    "triggers",
    "fanout",
    "long_run",
    "recovery",
    "takeover",
    "backlog",
    "flow",
    "idle",
    "payload",
    "postgres",
    "promotion",
)
PEERS = "peers"
"""Other systems at the same work. Not part of `--smoke`: they are installed on first use."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of {', '.join((*NAMES, PEERS))}; all without any"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it still work?")
    arguments = parser.parse_args()
    flags = ["--smoke"] if arguments.smoke else []
    names = arguments.names or (NAMES if arguments.smoke else (*NAMES, PEERS))
    documents = [answered(name, flags) for name in names]
    print(table(documents))
    if arguments.smoke:
        print("\nTiny sizes: every answer is right, and the times mean nothing.")


def answered(name: str, flags: list[str]) -> Document:
    print(f"bench.{name} {' '.join(flags)}".rstrip(), file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", f"bench.{name}", *flags], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"bench.{name} failed")
    return msgspec.json.decode(done.stdout, type=Document)


if __name__ == "__main__":
    main()

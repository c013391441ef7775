"""How fast are the peers at the same work, on this machine and in the same run as its primitives?

    python -m bench.peers [--only Onward,restate,dbos,temporal] [--rounds 3] [--smoke]

Each peer is asked in its default setting and in its durable one, and the answer says which is which; what is asked for
is listed in `bench.peers.rounds`. Everything that a peer needs is installed into build/peers/ on first use, pinned. A
peer or a setting that cannot be had here is in the answer as unavailable, with the reason; a wrong answer is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from websockets.asyncio.client import ClientConnection

from .. import primitives, report
from . import dbos, environment, onward, restate, temporal
from .children import PeerFailed
from .findings import Asked, answer
from .rounds import Machine, one_round, warm
from .setting import TINY, Peer

LIMIT_S = 8 * 60
PEERS = {peer.name: peer for peer in (onward.PEER, restate.PEER, dbos.PEER, temporal.PEER)}


def main() -> None:
    arguments = parse()
    rounds = 1 if arguments.smoke else arguments.rounds
    begun = time.monotonic()
    unavailable: dict[str, str] = {}
    asked = [
        Asked(peer, setting, TINY if arguments.smoke else setting.sizes)
        for peer in available(arguments.only, unavailable)
        for setting in peer.settings
    ]
    try:
        asyncio.run(ask(asked, rounds, unavailable))
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise SystemExit("ended before the last answer") from None
    settings = {"rounds": max((len(one.rounds) for one in asked), default=0)}
    found = answer([one for one in asked if one.rounds], unavailable)
    document = report.document("peers", __doc__ or "", settings, found, time.monotonic() - begun)
    if not arguments.smoke:
        report.keep(document)
    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=named, default=list(PEERS), help="some of them, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it still work?")
    return parser.parse_args()


def named(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PEERS):
        raise argparse.ArgumentTypeError(f"no such peer: {', '.join(sorted(unknown))}")
    return names


def available(names: list[str], unavailable: dict[str, str]) -> list[Peer]:
    """Return those that can be installed; of the others, note why not."""
    peers: list[Peer] = []
    for name in names:
        try:
            PEERS[name].install()
            peers.append(PEERS[name])
        except PeerFailed as failure:
            unavailable[name] = str(failure)
    return peers


async def ask(asked: list[Asked], rounds: int, unavailable: dict[str, str]) -> None:
    """Ask everybody in every round, so that drift of the machine hits all; nobody runs while another is asked."""
    end_in_order()
    environment.ROOT.mkdir(parents=True, exist_ok=True)
    async with primitives.echo_peer() as echo:
        begun = time.monotonic()
        for number in range(rounds):
            if is_late(time.monotonic() - begun, number):
                print(f"no time for round {number + 1}", file=sys.stderr)
                break
            for one in asked:
                print(f"round {number + 1} of {rounds}: {one.name}", file=sys.stderr, flush=True)
                await try_one(one, number, echo, unavailable)


def is_late(taken_s: float, rounds: int) -> bool:
    """Would one more round, as long as those before, last beyond the limit?"""
    return rounds > 0 and taken_s * (rounds + 1) / rounds > LIMIT_S


async def try_one(one: Asked, number: int, echo: ClientConnection, unavailable: dict[str, str]) -> None:
    try:
        await ask_one(one, number, echo)
    except PeerFailed as failure:
        unavailable[one.name] = str(failure)


async def ask_one(one: Asked, number: int, echo: ClientConnection) -> None:
    """Start it on an empty folder, warm it, and ask it for one round."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=environment.ROOT) as folder:
        async with one.setting.start(Path(folder)) as running:
            one.facts.update(running.facts)
            await warm(running, one.sizes)
            one.rounds[number] = await one_round(running, one.sizes, Machine(echo, Path(folder)))


def end_in_order() -> None:
    """A request to end is a cancellation, like Ctrl-C: every process that was started is ended on the way out."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    main()

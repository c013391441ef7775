"""How Onward is compared with its rival."""

from __future__ import annotations

from collections.abc import Sequence

from bench.lab import Primitives
from bench.peers import onward, restate
from bench.peers.findings import RIVAL, Asked, compared
from bench.peers.rounds import Round
from bench.peers.setting import TINY, Peer


def asked(peer: Peer, setting: str, rounds: Sequence[tuple[float, float]]) -> Asked:
    """Microseconds from step to step and steps a second, of each round."""
    [found] = [one for one in peer.settings if one.name == setting]
    machine = Primitives(100, 100, 100)
    found_in = [Round(machine, step, per_s, {}, [], 0) for step, per_s in rounds]
    return Asked(peer, found, TINY, rounds=dict(enumerate(found_in)))


def test_each_round_is_compared_with_itself_because_the_machine_drifts() -> None:
    ours = asked(onward.PEER, "SAFE", [(400, 12_000), (800, 6_000), (500, 9_000)])
    theirs = asked(restate.PEER, RIVAL.removeprefix("restate, "), [(1_600, 2_000), (1_600, 1_200), (1_000, 1_000)])
    step, throughput = compared([ours, theirs])
    assert (step.value, throughput.value) == (0.5, 6)
    assert (step.verdict, throughput.verdict) == ("MISSED", "met")


def test_a_round_in_which_one_of_them_failed_is_left_out_for_both() -> None:
    ours = asked(onward.PEER, "SAFE", [(400, 12_000), (800, 6_000), (500, 9_000)])
    theirs = asked(restate.PEER, RIVAL.removeprefix("restate, "), [(1_600, 2_000), (1_600, 1_200), (1_000, 1_000)])
    del theirs.rounds[0]
    step, throughput = compared([ours, theirs])
    assert (step.value, throughput.value) == (0.5, 7)


def test_without_the_rival_nothing_is_claimed() -> None:
    assert compared([asked(onward.PEER, "SAFE", [(400, 12_000)])]) == []

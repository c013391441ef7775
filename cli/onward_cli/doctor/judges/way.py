"""Judges the way to the engine's door: names, TCP, the proxy."""

from __future__ import annotations

from typing import Final

from onward.dialing.tunnels import AUTHENTICATION_REQUIRED

from onward_cli.doctor.evidence import Knock, Names, Tunnel
from onward_cli.doctor.verdict import Check, Verdict, failed, fine, skipped
from onward_cli.exits import Exit

# Statuses of HTTP, and replies of SOCKS.
_FORBIDDEN: Final = {403, 405, 451, 2}
_UNREACHABLE: Final = {500, 502, 503, 504, 1, 3, 4, 5, 6}


def judge_names(names: Names) -> Verdict:
    """Judge whether the host that is to be connected to has an address."""
    place = names.place
    if names.is_literal:
        return skipped(Check.DNS, f"{place.host} is an address")
    if names.addresses:
        shown = ", ".join(names.addresses[:3]) + (" ..." if len(names.addresses) > 3 else "")
        return fine(Check.DNS, f"{place.host} is {shown}", host=place.host, addresses=list(names.addresses))
    if names.is_temporary:
        return failed(
            Check.DNS,
            "E0521",
            f"no name server answers for {place.host}, {place.role}'s name ({names.error})",
            "let this machine reach its name servers: UDP and TCP port 53, see /etc/resolv.conf",
            facts={"host": place.host},
        )
    setting = "--proxy (ONWARD_PROXY, HTTPS_PROXY)" if place.is_proxy else "--url (ONWARD_URL)"
    return failed(
        Check.DNS,
        "E0520",
        f"this machine knows no address of {place.host}, {place.role}'s name ({names.error})",
        f"correct the name in {setting}, or have it added to the DNS that this machine asks",
        facts={"host": place.host},
    )


def judge_knock(knock: Knock) -> Verdict:
    """Judge whether somebody accepts connections there."""
    place = knock.place
    if not knock.ended:
        return fine(Check.TCP, f"connected to {place.role} at {knock.address}", address=knock.address)
    code, says, advice = _unopened(knock)
    return failed(Check.TCP, code, says, advice, facts={"host": place.host, "port": place.port})


def _unopened(knock: Knock) -> tuple[str, str, str]:
    place, who = knock.place, knock.place.role
    if knock.ended == "refused":
        says = f"{who} at {place} refuses connections: nothing listens on this port"
        return "E0522", says, f"start {who} there, or correct the port in the address"
    if knock.ended == "silent":
        says = f"{who} at {place} does not answer within {knock.patience_s:g} s"
        return "E0523", says, f"open the firewall for outgoing TCP from here to {place}: it drops the packets"
    says = f"there is no way from here to {who} at {place}: {knock.error}"
    return "E0524", says, f"give this machine a route and permission to reach {place}"


def judge_tunnel(tunnel: Tunnel) -> Verdict:
    """Judge whether the proxy lets through to the engine."""
    proxy, target = tunnel.proxy, tunnel.target
    facts = {"proxy": proxy, "target": target, "answer": tunnel.status}
    if not tunnel.refusal:
        return fine(Check.TUNNEL, f"{proxy} leads on to {target}", **facts)
    status = Exit.UNREACHABLE
    if tunnel.is_auth:
        code, status, advice = "E0408", Exit.AUTH, _introduction(tunnel)
    elif tunnel.status in _FORBIDDEN:
        code, advice = "E0525", f"have {target} allowed there as a target of CONNECT"
    elif tunnel.status in _UNREACHABLE:
        code, advice = "E0526", f"correct the engine's address, or have the way from the proxy to {target} opened"
    else:
        code, advice = "E0527", "correct scheme, host and port of the proxy: http://, https:// or socks5h://host:port"
    return failed(Check.TUNNEL, code, tunnel.refusal, advice, status=status, facts=facts)


def _introduction(tunnel: Tunnel) -> str:
    """Say how to tell a proxy who we are: over HTTP, Basic is all that is spoken."""
    if tunnel.status == AUTHENTICATION_REQUIRED and "basic" not in tunnel.wants.lower():
        return (
            f"run a proxy beside the worker that speaks {tunnel.wants or 'it'}, such as Cntlm or Px, and name that one"
        )
    if tunnel.has_user:
        return "correct user and password in the proxy's address; there '@' is written as %40, ':' as %3A"
    return "put them into the proxy's address: http://user:password@host:port"

"""Judges TLS: who is at the other end, and whether somebody in between pretends to be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from onward_cli.doctor.certificate import Certificate
from onward_cli.doctor.evidence import Handshake
from onward_cli.doctor.verdict import Verdict, failed, fine, warning
from onward_cli.exits import Exit

SOON: Final = timedelta(days=14)
"""A certificate that is renewed by itself has been renewed by then."""

# What OpenSSL calls the reasons to reject a certificate.
NOT_YET, EXPIRED, OTHER_NAME, OTHER_ADDRESS = 9, 10, 62, 64
UNKNOWN: Final = {2, 18, 19, 20, 21}

INSPECTORS: Final = (
    "Zscaler",
    "Netskope",
    "Fortinet",
    "FortiGate",
    "Palo Alto",
    "Blue Coat",
    "Symantec Web Security",
    "Forcepoint",
    "Websense",
    "Sophos",
    "Cisco Umbrella",
    "Cisco Secure Web",
    "Check Point",
    "Barracuda",
    "WatchGuard",
    "SonicWall",
    "McAfee Web Gateway",
    "Skyhigh",
    "Menlo Security",
    "iboss",
    "Cato Networks",
    "Cloudflare for Teams",
    "Squid",
    "mitmproxy",
)
"""Products that read TLS by making certificates of their own, as they sign these."""


def judge_handshake(handshake: Handshake) -> Verdict:
    """Judge whether the other end proved to be the host that was asked for."""
    leaf = handshake.leaf
    if handshake.wants_own:
        return _no_client_certificate(handshake)
    if not handshake.error:
        return _accepted(handshake, leaf)
    return _rejected(handshake, leaf) if leaf is not None and handshake.verify_code else _broken(handshake)


def _accepted(handshake: Handshake, leaf: Certificate | None) -> Verdict:
    if leaf is None:
        return fine(handshake.check, handshake.version, version=handshake.version)
    left = leaf.ends - handshake.now
    if left < SOON:
        says = f"{handshake.host}'s certificate, by {leaf.issuer}, ends in {left.days} days"
        advice = "renew it; an engine reads its own anew while it runs"
        return warning(handshake.check, says, advice, **_facts(leaf))
    if product := _inspector(leaf):
        says = f"{product} reads along: it signed {handshake.host}'s certificate, and this machine trusts it"
        advice = f"have {handshake.host} exempted from TLS inspection if connections break"
        return warning(handshake.check, says, advice, **_facts(leaf))
    says = f"{handshake.version}, certificate by {leaf.issuer}, for {left.days} more days"
    return fine(handshake.check, says, version=handshake.version, **_facts(leaf))


def _rejected(handshake: Handshake, leaf: Certificate) -> Verdict:
    if _is_intercepted(handshake, leaf):
        code, (says, advice) = "E0532", _interception(handshake, leaf)
    elif handshake.verify_code in {EXPIRED, NOT_YET}:
        code, says, advice = _wrong_time(handshake, leaf)
    elif handshake.verify_code in {OTHER_NAME, OTHER_ADDRESS}:
        code, (says, advice) = "E0530", _wrong_name(handshake, leaf)
    elif handshake.verify_code in UNKNOWN:
        code, (says, advice) = "E0531", _unknown_issuer(handshake, leaf)
    else:
        return _broken(handshake)
    return failed(handshake.check, code, says, advice, facts=_facts(leaf))


def _is_intercepted(handshake: Handshake, leaf: Certificate) -> bool:
    """Nobody has a certificate for a host that does not exist, but who makes them as they are asked for."""
    stranger = handshake.stranger
    is_made_up = stranger is not None and stranger.covers(handshake.stranger_host)
    return is_made_up or (handshake.verify_code in UNKNOWN and bool(_inspector(leaf)))


def _interception(handshake: Handshake, leaf: Certificate) -> tuple[str, str]:
    return (
        f"TLS is intercepted: what answers as {handshake.host} shows a certificate made by {leaf.issuer}, "
        "which this machine does not trust",
        f"have {handshake.host} exempted from TLS inspection, or trust {leaf.issuer} with --ca-file (ONWARD_CA_FILE)",
    )


def _wrong_time(handshake: Handshake, leaf: Certificate) -> tuple[str, str, str]:
    host = handshake.host
    if leaf.begins > handshake.now:
        says = f"{host}'s certificate is valid only from {_day(leaf.begins)} on; here it is {_day(handshake.now)}"
        return "E0529", says, "set this machine's clock, or have the certificate made anew"
    if leaf.ends < handshake.now:
        says = f"{host}'s certificate expired at {_day(leaf.ends)}; here it is {_day(handshake.now)}"
        return "E0528", says, "renew the certificate there"
    says = f"{host}'s certificate is valid, but one of those behind it is not: {handshake.error}"
    return "E0528", says, "renew the chain of certificates there"


def _wrong_name(handshake: Handshake, leaf: Certificate) -> tuple[str, str]:
    return (
        f"what answers as {handshake.host} has a certificate for {', '.join(leaf.names[:5])}",
        "use one of these names in the address, or have this one added to the certificate",
    )


def _unknown_issuer(handshake: Handshake, leaf: Certificate) -> tuple[str, str]:
    trusted = handshake.ca_file or "this machine's certificates"
    if leaf.is_self_signed:
        says = f"{handshake.host}'s certificate is signed by itself and not in {trusted}"
        return says, "give a copy of it with --ca-file (ONWARD_CA_FILE)"
    says = f"{handshake.host}'s certificate is signed by {leaf.issuer}, who is not in {trusted}"
    return says, f"give the certificate of {leaf.issuer} with --ca-file (ONWARD_CA_FILE), if it is yours"


def _no_client_certificate(handshake: Handshake) -> Verdict:
    if handshake.has_own:
        says = f"{handshake.host} does not accept this client certificate: {handshake.error}"
        advice = "give one with --client-cert that is signed by who the other end trusts, and valid now"
    else:
        says = f"{handshake.host} wants a client certificate"
        advice = "give one with --client-cert and --client-key (ONWARD_CLIENT_CERT, ONWARD_CLIENT_KEY)"
    return failed(handshake.check, "E0410", says, advice, status=Exit.AUTH)


def _broken(handshake: Handshake) -> Verdict:
    says = f"{handshake.host} does not complete a TLS handshake: {handshake.error}"
    advice = "use http:// if plain HTTP is spoken there; otherwise have the firewall let TLS pass"
    if handshake.is_late:
        advice = "look whether it answers on its own machine; if it does, have the firewall let TLS pass"
    return failed(handshake.check, "E0533", says, advice)


def _inspector(leaf: Certificate) -> str:
    issuer = leaf.issuer.lower()
    return next((product for product in INSPECTORS if product.lower() in issuer), "")


def _facts(leaf: Certificate) -> dict[str, Any]:
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "names": list(leaf.names),
        "begins": leaf.begins.isoformat(),
        "ends": leaf.ends.isoformat(),
    }


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

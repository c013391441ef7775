"""E052x, E053x: where the way to the engine ends, as `worker doctor` finds it."""

from __future__ import annotations

from typing import Final

from onward_cli.catalogue.entry import Entry

DOCTOR: Final = {
    "E0520": Entry(
        "The name of the engine's host, or of the proxy's, is not known here.",
        "It is misspelt, or known only to the name servers of another network.",
        "Correct the name, or have it added to the DNS that this machine asks.",
    ),
    "E0521": Entry(
        "No name server answers.",
        "A firewall, or a NetworkPolicy that forgets port 53.",
        "Let this machine reach its name servers: UDP and TCP port 53, see /etc/resolv.conf.",
    ),
    "E0522": Entry(
        "The host is there, and nothing listens on the port.",
        "The engine or the proxy does not run, or listens elsewhere, or on a loopback address only.",
        "Start it there, or correct the port in the address.",
    ),
    "E0523": Entry(
        "Nothing answers at the address at all.",
        "A firewall that drops packets.",
        "Have it opened for outgoing TCP to this host and port.",
    ),
    "E0524": Entry(
        "There is no way to the address.",
        "No route, no network at all, or this machine's own firewall.",
        "Give the machine a route and permission to reach it.",
    ),
    "E0525": Entry(
        "The proxy does not allow a tunnel to the engine.",
        "Its rules name hosts or ports, and the engine's are not among them.",
        "Have the engine's host and port allowed there as a target of CONNECT.",
    ),
    "E0526": Entry(
        "The proxy, or a load balancer before the engine, cannot reach it.",
        "The engine does not run, its name is not known there, or a firewall stands between the two.",
        "Start the engine, correct its address, or have the way from there to it opened.",
    ),
    "E0527": Entry(
        "What answers at the proxy's address is no proxy of this kind.",
        "Another port, or http:// in place of https:// or socks5h://.",
        "Correct scheme, host and port of the proxy.",
    ),
    "E0528": Entry(
        "The certificate has expired.",
        "It was not renewed; or this machine's clock is ahead.",
        "Renew the certificate there.",
    ),
    "E0529": Entry(
        "The certificate is not valid yet.",
        "This machine's clock is behind.",
        "Set this machine's clock, or have the certificate made anew.",
    ),
    "E0530": Entry(
        "The certificate is one for another host.",
        "The engine is asked by a name or an address that its certificate does not have.",
        "Use one of the certificate's names in the address, or have this one added to it.",
    ),
    "E0531": Entry(
        "The certificate is signed by somebody whom this machine does not trust.",
        "The engine's certificate is from a CA of one's own.",
        "Give the CA's certificate with --ca-file (ONWARD_CA_FILE).",
    ),
    "E0532": Entry(
        "TLS is intercepted: somebody on the way shows certificates of their own making.",
        "A proxy or firewall that inspects what is encrypted.",
        "Have the engine's host exempted from TLS inspection, or trust the inspector's CA with --ca-file.",
    ),
    "E0533": Entry(
        "TLS cannot be agreed on.",
        "The other end speaks plain HTTP there, or a firewall ends what it cannot read.",
        "Use http:// if plain HTTP is spoken there; otherwise have the firewall let TLS pass.",
    ),
    "E0534": Entry(
        "Requests reach the engine, and WebSockets do not.",
        "A proxy or load balancer that drops the header Upgrade.",
    ),
    "E0535": Entry(
        "What answers at the address is no engine.",
        "Another service, another port, or a page to log in to the network.",
        "Correct the host, port and path of --url (ONWARD_URL).",
    ),
    "E0536": Entry(
        "The engine takes in no worker at the moment, or stands still.",
        "It stops, its disk is full, or its store does not answer.",
        "Look into the engine's log.",
    ),
    "E0537": Entry(
        "Connections do not last.",
        "Something on the way cuts those that are idle, or older than some limit.",
        "Raise its idle timeout above the 5 s between two beats, or set --max-connection-age below its limit.",
    ),
}

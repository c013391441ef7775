"""The way, looked at in pieces: each of them connects anew."""

from __future__ import annotations

import socket

from onward.dialing.proxies import parse_proxy
from onward.dialing.trust import Trust
from onward.dialing.way import Way, target_of
from onward_cli.doctor.judges.way import judge_tunnel
from onward_cli.doctor.probes.road import Road


async def test_a_proxy_that_is_gone_after_the_first_connection_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = parse_proxy(f"127.0.0.1:{server.getsockname()[1]}", "the test")
        road = Road(target_of("https://engine.test"), proxy, Trust(Way()))
        await road.look_up()
        assert (await road.knock()).ended == ""
    verdict = judge_tunnel(await road.ask_proxy(proxy))
    assert verdict.code == "E0527"
    assert verdict.says.startswith(f"the proxy {proxy} takes no second connection")

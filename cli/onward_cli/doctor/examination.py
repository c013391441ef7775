"""Goes the way to the engine step by step, and stops where it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace
from onward.address import check_privacy
from onward.connection.link import Link
from onward.dialing.faults import TlsFailed
from onward.dialing.proxies import Proxy
from onward.dialing.trust import Trust
from onward.dialing.way import target_of
from onward.errors import ConfigError
from onward.settings import Settings

from onward_cli.doctor.evidence import Answer, Source, Upgrade
from onward_cli.doctor.judges.engine import (
    judge_auth,
    judge_clocks,
    judge_protocol,
    judge_refusal,
    judge_round_trips,
    judge_silence,
    judge_upgrade,
)
from onward_cli.doctor.judges.settings import judge_choice, judge_settings, judge_wrong_proxy
from onward_cli.doctor.judges.trust import judge_handshake
from onward_cli.doctor.judges.way import judge_knock, judge_names, judge_tunnel
from onward_cli.doctor.probes.handshake import shake_hands_with_engine, shake_hands_with_proxy, speaks_tls
from onward_cli.doctor.probes.request import ask_plainly
from onward_cli.doctor.probes.road import Road
from onward_cli.doctor.probes.upgrade import ask_upgrade
from onward_cli.doctor.probes.visit import Visit
from onward_cli.doctor.verdict import Check, Mark, Verdict, skipped

TRIPS: Final = 10


class _WayEnds(Exception):
    """A step has failed, and those behind it stand on it."""


async def examine(
    settings: Settings, sources: Sequence[Source], *, insecure: bool, idle_s: float, tell: Callable[[Verdict], None]
) -> list[Verdict]:
    """Tell a verdict for each step, as soon as it is known, and return them; the first that fails is the last."""
    examination = _Examination(settings, sources, insecure=insecure, idle_s=idle_s, tell=tell)
    with suppress(_WayEnds):
        await examination.go()
    return examination.verdicts


class _Examination:
    def __init__(
        self,
        settings: Settings,
        sources: Sequence[Source],
        *,
        insecure: bool,
        idle_s: float,
        tell: Callable[[Verdict], None],
    ) -> None:
        self.verdicts: list[Verdict] = []
        self._settings = settings
        self._sources = sources
        self._insecure = insecure
        self._idle_s = idle_s
        self._tell = tell
        self._trust = Trust(settings.way)
        self._path = urlsplit(settings.url).path
        self._health = Answer()
        self._began_s = time.perf_counter()

    async def go(self) -> None:
        """Go as far as it leads. Raises `_WayEnds`."""
        self._note(self._judged_settings())
        road = Road(target_of(self._settings.url), self._chosen_proxy(), self._trust)
        await self._reach(road)
        link = await self._enter()
        visit = Visit(link)
        try:
            await self._stay(visit)
        finally:
            await visit.leave()

    def _note(self, verdict: Verdict) -> None:
        ended_s = time.perf_counter()
        timed = replace(verdict, took_ms=round((ended_s - self._began_s) * 1000, 1))
        self._began_s = ended_s
        self.verdicts.append(timed)
        self._tell(timed)
        if verdict.mark is Mark.FAILED:
            raise _WayEnds

    def _judged_settings(self) -> Verdict:
        settings = self._settings
        try:
            check_privacy(settings.url, insecure=self._insecure, way=settings.way)
            settings.token()
            if settings.url.startswith("https://"):
                self._trust.to_engine()
        except ConfigError as wrong:
            return judge_settings(self._sources, wrong)
        return judge_settings(self._sources)

    def _chosen_proxy(self) -> Proxy | None:
        try:
            choice = self._settings.way.choice(self._settings.url)
        except ConfigError as wrong:
            self._note(judge_wrong_proxy(wrong))
            raise
        self._note(judge_choice(choice))
        return choice.proxy

    async def _reach(self, road: Road) -> None:
        """Go as far as the engine's host."""
        self._note(judge_names(await road.look_up()))
        self._note(judge_knock(await road.knock()))
        if road.proxy is not None:
            self._note(await self._tunnelled(road, road.proxy))
        if road.target.is_tls:
            handshake, self._health = await shake_hands_with_engine(road, self._settings.way, self._path)
            self._note(judge_handshake(handshake))
        else:
            self._health = await ask_plainly(road, self._path)
            if not self._health.status and not self._health.is_late:
                self._health = replace(self._health, is_of_tls=await speaks_tls(road))
            self._note(skipped(Check.TLS, "the address begins with http://"))

    async def _tunnelled(self, road: Road, proxy: Proxy) -> Verdict:
        try:
            return judge_tunnel(await road.ask_proxy(proxy))
        except TlsFailed:
            return judge_handshake(await shake_hands_with_proxy(road, proxy.host, self._settings.way))

    async def _enter(self) -> Link:
        """Ask to be let in as a worker."""
        asked, link = await ask_upgrade(self._settings)
        self._note(judge_upgrade(Upgrade(url=self._settings.url, asked=asked, health=self._health)))
        self._note(judge_auth(asked, has_token=bool(self._settings.token())))
        if link is None:
            self._note(judge_refusal(asked))
            raise _WayEnds
        return link

    async def _stay(self, visit: Visit) -> None:
        """See how it is inside."""
        greeting, clocks = await visit.begin()
        self._note(judge_protocol(greeting))
        if clocks is not None:
            self._note(judge_clocks(clocks))
        self._note(judge_round_trips(await visit.round_trips(TRIPS)))
        if self._idle_s:
            self._note(judge_silence(await visit.stay(self._idle_s)))
        else:
            self._note(skipped(Check.IDLE, "--idle 70s shows whether connections are cut that are not used"))

"""What can be set about an engine. Wire limits and times come from the protocol; the rest has its reason beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from onward_protocol.limits import KIB, MIB, Limits, Times

DEFAULT_PORT = 8484
DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much work the engine takes at once."""

    commit_ops_max: int = 10_000
    """Operations that wait for the store; beyond it HTTP answers 503, and workers are not read beyond their allowance.
    """

    commit_bytes_max: int = 64 * MIB
    """The same, in payload bytes: whichever comes first."""

    batch_ops_max: int = 1_000
    """Operations in one transaction: about 15 ms of writing, so that an answer never waits long behind others."""

    batch_bytes_max: int = 8 * MIB
    """Payload in one transaction."""

    allowance_bytes: int = 256 * KIB
    """What one worker may have uncommitted when the queue is full, before it is not read: enough for one frame of each
    slot, so that only a flood is stopped, and the beats of everybody else are answered however slow the disk is."""

    claim_max: int = 100
    """Runs taken by one claim: as many as a worker has slots by default."""

    claim_journal_bytes_max: int = 16 * KIB
    """Journal that a claim reads along with its run, in the transaction: some hundred small steps. Everybody waits
    behind a longer one, so it is read apart and sent as the worker takes it."""

    journal_page_bytes: int = 128 * KIB
    """Of a longer journal, read at once and sent in one frame: a millisecond of reading, and half a message on the best
    line. The engine keeps two for each connection."""

    timers_max: int = 1_000
    """Timers fired in one transaction, so that a backlog of them does not hold up everybody else."""

    purge_rows_max: int = 500
    """Rows that one transaction of the retention looks at: some milliseconds of writing."""

    outbound_bytes_max: int = 4 * MIB
    """What may wait for a worker that does not read, beside what it asked for with its credit."""

    takeover_sessions_max: int = 10
    """Workers of a dead replica that one transaction hands on: each may have a hundred runs."""

    sweep_runs_max: int = 1_000
    """Runs that a sweep looks at: some milliseconds of reading."""

    sweep_waits_max: int = 100
    """Results that a sweep looks for, of those that somebody waits for."""

    events_per_request_max: int = 5_000
    request_bytes_max: int = 16 * MIB
    """One POST of events."""

    view_bytes_max: int = 64 * KIB
    """A payload up to this size is shown as JSON; decoding a larger one for people costs everybody else time."""

    wait_ms_max: int = 60_000
    """The longest that one HTTP request waits for the end of a run: below the idle limits of common proxies."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How engines on one store look after each other."""

    beat_ms: int = 1_000
    """Each engine writes its row so often."""

    dead_ms: int = 5_000
    """An engine whose row is older is dead: a database that fails over takes a few seconds, and nobody may be taken for
    dead because of it."""

    isolated_ms: int = 30_000
    """An engine that has not reached its store for so long sends its workers to look for another one."""

    sweep_ms: int = 2_000
    """What no other engine has told of is looked for so often."""

    handover_ms: int = 2_000
    """An engine that stops waits so long for its workers to reach another one."""

    def scaled(self, factor: float) -> Sharing:
        """Return all times multiplied by `factor`, none below 1 ms."""
        return Sharing(**{one.name: max(1, round(getattr(self, one.name) * factor)) for one in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything about one engine. `dev` asks nobody for a token and therefore listens on a loopback address only."""

    folder: Path = Path(".onward")
    database_name: str = "onward.db"
    postgres: str = field(default="", repr=False)
    """The address of a PostgreSQL database, with its password; any number of engines share it. Empty: SQLite."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    public_url: str = ""
    """Where whoever answers callbacks finds the engine, such as "https://engine.example.com". Empty: where each worker
    finds it."""

    tls_cert: Path | None = None
    """The engine's certificate, with those between it and the root: then it speaks TLS only. Read again when it has
    changed, as the other two are."""

    tls_key: Path | None = None
    """Its key. None: it is in the same file."""

    tls_client_ca: Path | None = None
    """Clients have to show a certificate of one of these. None: they are asked for none."""

    dev: bool = False
    token: str | None = field(default=None, repr=False)
    """The admin token. None: the one in `token_file`, made at the first start."""

    admin_token_file: Path | None = None
    """Where that token is. None: `admin.token` in the folder."""

    test_clock: bool = False
    """Anybody who may speak to this engine may move its clock forward. It listens on a loopback address only."""

    busy_poll: bool = False
    """Stay awake for a lone run's next step, which saves it the time to wake up and costs a processor meanwhile."""

    limits: Limits = field(default_factory=Limits)
    times: Times = field(default_factory=Times)
    bounds: Bounds = field(default_factory=Bounds)
    sharing: Sharing = field(default_factory=Sharing)

    retry_ms: int = 1_000
    """After "no space left on device" the store is tried again so often."""

    retention_ms: int = 30 * DAY_MS
    """Runs that ended longer ago are deleted, and with them the events that they were made of. 0 keeps everything."""

    purge_every_ms: int = 10 * 60_000
    """Old runs and events are looked for so often."""

    purge_rest_ms: int = 50
    """Rest after each transaction that deletes: at a few milliseconds of work, a tenth of the store's time at most."""

    timekeeping_ms: int = 10_000
    """So often an engine with a store of its own looks whether the time of day has jumped, and keeps it."""

    recheck_ms: int = 60_000
    """The longest sleep of the alarm, so that a clock that was set, or a machine that slept, is noticed."""

    @property
    def database(self) -> Path:
        """Return where runs, events and results are kept."""
        return self.folder / self.database_name

    @property
    def token_file(self) -> Path:
        """Return where the admin token is kept."""
        return self.admin_token_file or self.folder / "admin.token"

    def scaled(self, factor: float) -> Settings:
        """Return the same with every protocol time multiplied by `factor`: tests use 1/20."""
        return replace(
            self,
            times=self.times.scaled(factor),
            sharing=self.sharing.scaled(factor),
            retry_ms=max(1, round(self.retry_ms * factor)),
        )

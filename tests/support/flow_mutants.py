"""What the judge of random programs must notice: flow control with one safeguard taken away, for each safeguard."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from onward_engine.model import Run
from onward_engine.rules.flow import gathering as gathering_rules
from onward_engine.rules.flow import ranks, rate, throttle
from onward_engine.rules.flow.gates import Passed
from onward_engine.rules.flow.rate import Window
from onward_engine.store.memory_tables import MemoryTables
from onward_engine.store.work import gates, gathering, offers, places, throttles
from onward_engine.store.work.context import Work
from onward_protocol.messages import BatchRule, DebounceRule, ThrottleRule

from tests.support.flow_programs import Author
from tests.support.mutants import Mutant, Surgery, nothing

FLOW_MUTANTS: dict[str, Mutant] = {}


async def noticed_at(name: str, seeds: Iterable[int]) -> tuple[int, str] | None:
    """Return the first program that goes wrong with a mutant, and how. One that never ends has gone wrong too."""
    with FLOW_MUTANTS[name].applied():
        for seed in seeds:
            try:
                problems = (await Author(seed).write()).problems
            except AssertionError as stuck:
                problems = [str(stuck)]
            if problems:
                return seed, problems[0]
    return None


def without(safeguard: str) -> Callable[[Callable[[Surgery], None]], Callable[[Surgery], None]]:
    """Register a mutant under the name of the function that makes it."""

    def register(mutate: Callable[[Surgery], None]) -> Callable[[Surgery], None]:
        FLOW_MUTANTS[mutate.__name__] = Mutant(safeguard, mutate)
        return mutate

    return register


def always(*_: object, **__: object) -> bool:
    """Agree."""
    return True


def never(*_: object, **__: object) -> bool:
    """Disagree."""
    return False


# -- limits ------------------------------------------------------------------------------------------------------------


@without("a limit has so many places as it says")
def no_limits(surgery: Surgery) -> None:
    surgery.put(places, "limit_now", nothing)


@without("a place that several share is counted again when it is taken")
def offers_are_places(surgery: Surgery) -> None:
    surgery.put(places, "_may_take", always)


@without("nobody overtakes who is better placed in the line")
def overtaking(surgery: Surgery) -> None:
    surgery.put(places, "_is_next", always)


@without("who comes later and goes first is kept out by no offer to those behind")
def all_offers_count(surgery: Surgery) -> None:
    def offers_before(tables: MemoryTables, key: str, function: str, rank: int, ord: int) -> int:
        del rank, ord
        return tables.places_offered(key, function)

    surgery.put(MemoryTables, "offers_before", offers_before)


@without("who gives a place back lets the next one in")
def nobody_let_in(surgery: Surgery) -> None:
    surgery.put(offers, "let_in", nothing)


@without("a place of a whole run is kept while it is parked")
def parked_give_all(surgery: Surgery) -> None:
    give = places.give

    def give_all(work: Work, run: Run, *, is_over: bool) -> list[str]:
        del is_over
        return give(work, run, is_over=True)

    surgery.put(places, "give", give_all)


@without("a run that is over gives its places back")
def places_kept(surgery: Surgery) -> None:
    def give(work: Work, run: Run, *, is_over: bool) -> list[str]:
        del work, run, is_over
        return []

    surgery.put(places, "give", give)


# -- throttle ----------------------------------------------------------------------------------------------------------


@without("a start uses up a turn of the throttle")
def free_turns(surgery: Surgery) -> None:
    surgery.put(throttles, "consume", nothing)


@without("time without a start saves up the burst, and no more")
def saved_turns(surgery: Surgery) -> None:
    consumed = throttle.consumed

    def consumed_long_ago(rule: ThrottleRule, limit: int, arrival_us: int, now_ms: int) -> int:
        del now_ms
        return consumed(rule, limit, arrival_us, 0)

    surgery.put(throttle, "consumed", consumed_long_ago)


@without("somebody is let in as soon as the throttle allows it")
def throttle_asleep(surgery: Surgery) -> None:
    surgery.put(throttles, "arm", nothing)


@without("nobody waits longer than the throttle says")
def late_throttle(surgery: Surgery) -> None:
    next_at_ms = throttle.next_at_ms

    def later_ms(rule: ThrottleRule, limit: int, arrival_us: int, count: int) -> int:
        return next_at_ms(rule, limit, arrival_us, count) + 1_300

    surgery.put(throttle, "next_at_ms", later_ms)


# -- gates -------------------------------------------------------------------------------------------------------------


@without("surplus events are skipped")
def no_rate(surgery: Surgery) -> None:
    surgery.put(gates, "_is_surplus", never)


@without("what has begun counts for the whole period")
def short_window(surgery: Surgery) -> None:
    is_full = rate.is_full

    def is_full_of_half(window: Window, limit: int, period_ms: int, now_ms: int) -> bool:
        return is_full(window, limit, period_ms // 2, now_ms)

    surgery.put(rate, "is_full", is_full_of_half)


@without("who begins is counted")
def uncounted(surgery: Surgery) -> None:
    surgery.put(gates, "_count", nothing)


@without("the value of an idempotency key is remembered")
def forgotten(surgery: Surgery) -> None:
    surgery.put(gates, "remember", nothing)


@without("a newcomer is skipped beside an older run of its key")
def no_older(surgery: Surgery) -> None:
    surgery.put(gates, "_older", nothing)


@without("the older run is cancelled for the newcomer")
def nobody_replaced(surgery: Surgery) -> None:
    def judge(*_: object) -> Passed:
        return Passed()

    surgery.put(gates, "judge", judge)


# -- gathering ---------------------------------------------------------------------------------------------------------


@without("each event of a burst extends it")
def no_extension(surgery: Surgery) -> None:
    until_ms = gathering_rules.until_ms

    def until_first_ms(rule: DebounceRule | BatchRule, since_ms: int, now_ms: int) -> int:
        del now_ms
        return until_ms(rule, since_ms, since_ms)

    surgery.put(gathering_rules, "until_ms", until_first_ms)


@without("what has gathered its events begins")
def asleep(surgery: Surgery) -> None:
    surgery.put(gathering, "_begin", nothing)


@without("a batch that is full begins, and the next event begins another one")
def endless_batch(surgery: Surgery) -> None:
    surgery.put(gathering_rules, "is_full", never)


@without("a later event of a burst joins its run")
def nobody_joins(surgery: Surgery) -> None:
    def join(*_: object) -> str:
        return ""

    surgery.put(gathering, "join", join)


# -- order -------------------------------------------------------------------------------------------------------------


@without("a priority moves a run")
def no_priority(surgery: Surgery) -> None:
    def seconds(*_: object) -> float:
        return 0

    surgery.put(ranks, "_seconds", seconds)


@without("an urgent run is before all others")
def not_urgent(surgery: Surgery) -> None:
    surgery.put(ranks, "URGENT", ranks.NEW + 1_000_000_000)


@without("tenants take turns")
def no_turns(surgery: Surgery) -> None:
    def fair_rank(*_: object) -> int:
        return ranks.FIRST

    surgery.put(ranks, "fair_rank", fair_rank)

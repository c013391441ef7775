"""Which functions an event starts."""

from __future__ import annotations

import pytest
from onward_engine.rules.triggers import Catalog, trigger_problem
from onward_protocol.messages import AppManifest, FunctionManifest, Trigger


def catalog(**functions: tuple[str, ...]) -> Catalog:
    manifests = tuple(
        FunctionManifest(name, tuple(Trigger(event) for event in events)) for name, events in functions.items()
    )
    return Catalog([AppManifest("shop", "", manifests)])


def started(catalog: Catalog, event: str) -> list[str]:
    return [function.id for function in catalog.starts(event)]


def test_an_exact_name_starts_only_its_own() -> None:
    found = catalog(a=("order.placed",), b=("order",), c=("order.placed.x",))
    assert started(found, "order.placed") == ["a"]


def test_a_prefix_starts_everything_below_it() -> None:
    found = catalog(a=("shop/*",), b=("*",), c=("shop/orders/*",), d=("shopping/*",))
    assert started(found, "shop/orders/new") == ["a", "b", "c"]
    assert started(found, "shop") == ["b"]


def test_a_function_is_found_once() -> None:
    assert started(catalog(a=("x", "x*", "*")), "x") == ["a"]


def test_a_function_without_triggers_is_known_and_never_started_by_an_event() -> None:
    found = catalog(a=())
    assert (started(found, "a"), list(found.functions)) == ([], ["a"])


@pytest.mark.parametrize("event", ["*/placed", "shop/*/placed", "shop/**"])
def test_a_star_stands_at_the_end_of_a_prefix(event: str) -> None:
    problem = trigger_problem(FunctionManifest("shop/f", (Trigger(event),))) or ""
    assert problem.startswith(f"shop/f, trigger '{event}': a '*' stands elsewhere")


def test_every_event_may_start_a_function() -> None:
    assert trigger_problem(FunctionManifest("shop/f", (Trigger("*"),))) is None

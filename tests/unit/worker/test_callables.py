from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest
from onward import ConfigError
from onward.values.callables import UNTYPED, is_async, name_of, qualified_name, return_annotation

if TYPE_CHECKING:
    from fractions import Fraction

T = TypeVar("T")


class Page:
    async def load(self) -> Page:
        return self

    async def __call__(self) -> int:
        return 1


async def load(url: Fraction | None) -> list[Page]:
    raise NotImplementedError(url)


def later() -> Coroutine[Any, Any, Page]:
    raise NotImplementedError


def same(value: T) -> T:
    return value


def never() -> NoReturn:
    raise NotImplementedError


def unresolved() -> Fraction:
    raise NotImplementedError


@wraps(load)
def wrapped(*args: Any) -> Any:
    return load(*args)


@pytest.mark.parametrize(
    ("fn", "annotation"),
    [
        (load, list[Page]),
        (partial(load, url=None), list[Page]),
        (wrapped, list[Page]),
        (later, Page),
        (Page().load, Page),
        (Page(), int),
        (Page, Page),
        (never, None),
        (same, UNTYPED),
        (len, UNTYPED),
        (str.upper, UNTYPED),
        (itemgetter(0), UNTYPED),
        (lambda: 1, UNTYPED),
    ],
)
def test_the_result_type_comes_from_the_definition(fn: Callable[..., Any], annotation: Any) -> None:
    assert return_annotation(fn, "step") == annotation


def test_a_type_that_only_exists_for_type_checkers_is_named() -> None:
    with pytest.raises(ConfigError, match=r"step 'x': its return annotation 'Fraction' cannot be resolved"):
        return_annotation(unresolved, "step 'x'")


def test_a_class_of_the_enclosing_function_is_found_if_its_code_uses_it() -> None:
    class Local:
        pass

    def make() -> Local:
        return Local()

    assert return_annotation(make, "step") is Local


def test_a_decorated_function_is_read_where_it_was_defined() -> None:
    elsewhere: dict[str, Any] = {}
    exec("def wrapper(): pass", elsewhere)  # a decorator's function knows other names than the one that it wraps
    assert return_annotation(wraps(load)(elsewhere["wrapper"]), "step") == list[Page]


def test_names_are_those_of_the_definition() -> None:
    assert (name_of(Page().load), qualified_name(Page().load)) == ("load", "Page.load")
    assert (name_of(partial(load)), name_of(Page()), name_of(Page)) == ("load", "Page", "Page")


def test_asynchronous_is_what_gives_a_coroutine() -> None:
    assert [is_async(fn) for fn in (load, partial(load), Page(), Page().load, later, len)] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]

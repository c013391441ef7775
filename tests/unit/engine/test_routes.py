"""The routes as values: what is served, what is documented, and how everything is refused in one form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct
from onward_engine.auth import Access
from onward_engine.problem import TITLES
from onward_engine.routes import ROUTES
from onward_engine.routes.openapi import VARYING, document
from onward_engine.routes.route import Nothing, Route
from openapi_spec_validator import validate
from starlette.routing import Route as Path

from tests.support import Network, simulate
from tests.unit.engine.peer import engine
from tests.unit.engine.web import Answer, ask

NAMES = [f"{route.method} {route.path}" for route in ROUTES]


def asked(method: str, target: str, body: Any = b"", **headers: str) -> Answer:
    answers: list[Answer] = []

    async def main(_: Network) -> None:
        async with engine() as running:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            answers.append(await ask(running.app, method, target, body, sent))

    simulate(main)
    return answers[0]


def test_the_document_is_one_that_others_understand() -> None:
    validate(document(ROUTES))


def test_every_route_is_documented_and_nothing_else_is() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            served = {
                (VARYING.sub(r"{\1}", route.path), method.lower())
                for route in running.app.routes
                if isinstance(route, Path)
                for method in (route.methods or set()) - {"HEAD"}
            }
        documented = {(path, method) for path, methods in document(ROUTES)["paths"].items() for method in methods}
        assert served == documented

    simulate(main)


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_no_body_may_have_a_field_that_nobody_knows(route: Route) -> None:
    _, body, _ = route.types
    if isinstance(body, type) and issubclass(body, Struct) and body is not Nothing:
        assert body.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/e", {"name": "shop/ordered", "delay": "5s"}, "`delay`"),
        ("/v1/bulk/cancel", {"funktion": "shop/order"}, "`funktion`"),
    ],
)
def test_a_misspelled_field_is_named_instead_of_being_left_out(path: str, body: object, field: str) -> None:
    answer = asked("POST", path, body)
    assert answer.status in {400, 422}
    assert field in answer.json["detail"]


def test_the_document_is_served() -> None:
    answer = asked("GET", "/v1/openapi.json")
    assert (answer.status, answer.json["openapi"]) == (200, "3.1.0")
    assert "/v1/runs/{id}/steps" in answer.json["paths"]


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_a_route_says_what_it_takes_and_gives(route: Route) -> None:
    query, body, answer = route.types
    assert issubclass(query, Struct)
    assert route.summary.endswith(".")
    assert len({one.code for one in route.refusals}) == len(route.refusals)
    for kind in (body, answer if route.answer is None else route.answer):
        if isinstance(kind, type) and issubclass(kind, Struct) and kind is not Nothing:
            assert (kind.__doc__ or "").strip().endswith("."), f"{kind.__name__} is not explained"


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_only_open_routes_are_open(route: Route) -> None:
    path = route.path.replace("{token}", "x").replace("{id}", "x").replace("{id:path}", "x")
    denial = Access("secret").denial(path, [], is_socket=False)
    assert (denial is None) == route.is_open


def test_every_code_has_one_status_and_every_status_a_title() -> None:
    found: dict[str, int] = {}
    for refusal in {one for route in ROUTES for one in route.refusals}:
        assert found.setdefault(refusal.code, refusal.status) == refusal.status
        assert refusal.status in TITLES


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code", "sentence"),
    [
        ("GET", "/nothing", b"", 404, "not_found", "There is nothing at /nothing."),
        ("GET", "/v1/runs/run_x", b"", 404, "unknown_run", "There is no run run_x."),
        ("DELETE", "/v1/runs", b"", 405, "method_not_allowed", "DELETE is not possible here."),
        ("POST", "/v1/runs", b" " * (16 * 1024 * 1024 + 1), 413, "too_large", "16 MiB"),
        ("POST", "/v1/runs", b"{", 400, "bad_request", "The body"),
        ("POST", "/v1/runs", {"function": 5}, 422, "not_valid", "Expected `str`, got `int` - at `$.function`"),
        ("POST", "/v1/runs", b"", 422, "not_valid", "missing required field `function`"),
        ("GET", "/v1/runs?statuss=failed", b"", 400, "bad_request", "There is no parameter 'statuss' here; there are"),
        ("GET", "/v1/runs?status=happy", b"", 400, "bad_request", "There are queued, assigned"),
        ("GET", "/v1/runs?limit=many", b"", 400, "bad_request", "limit is not valid"),
        ("GET", "/v1/runs?cursor=-1", b"", 400, "bad_request", "cursor is not valid"),
        ("GET", "/v1/runs?tag=vip", b"", 400, "bad_request", "A tag is written key=value, not 'vip'."),
        ("GET", "/v1/runs?where=run.", b"", 400, "bad_expression", "where: "),
        ("GET", "/v1/runs?where=runs.x", b"", 400, "bad_expression", "runs"),
        ("GET", "/v1/workers?x=1", b"", 400, "bad_request", "There is no parameter 'x' here, nor any other."),
    ],
)
def test_everything_is_refused_in_one_form(
    method: str, target: str, body: Any, status: int, code: str, sentence: str
) -> None:
    answer = asked(method, target, body)
    problem = answer.json
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:onward:problem:{code}"
    assert problem["title"] == TITLES[status]
    assert sentence in problem["detail"]


def test_a_body_that_is_not_json_is_refused_by_its_type() -> None:
    answer = asked("POST", "/v1/runs", b"a=b", content_type="application/x-www-form-urlencoded")
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    assert asked("POST", "/v1/runs", b"{}", content_type="application/json; charset=utf-8").status == 422


def test_a_method_that_is_not_allowed_is_answered_with_those_that_are() -> None:
    allowed = asked("DELETE", "/v1/runs").headers["allow"]
    assert {one.strip() for one in allowed.split(",")} == {"GET", "HEAD", "POST"}


def test_a_mistake_of_the_engine_is_a_problem_as_well() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            running.store.runs = _broken  # type: ignore[method-assign]
            with pytest.raises(ZeroDivisionError):
                await ask(running.app, "GET", "/v1/runs")

    simulate(main)


async def _broken(wanted: object) -> Any:
    raise ZeroDivisionError


def test_a_filter_may_be_given_several_times_or_with_commas() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            for query in ("status=failed&status=queued", "status=failed,queued"):
                assert (await ask(running.app, "GET", f"/v1/runs?{query}")).status == 200

    simulate(main)


def test_the_schemas_have_what_is_sent() -> None:
    schemas = document(ROUTES)["components"]["schemas"]
    assert set(schemas["ProblemView"]["properties"]) == {"type", "title", "status", "detail", "code"}
    assert "output" in schemas["RunView"]["properties"]
    assert msgspec.json.encode(schemas)

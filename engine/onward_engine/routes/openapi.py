"""The OpenAPI document of the routes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import Response

from ..problem import PROBLEM, TITLES, ProblemView
from .refusals import BAD_REQUEST, INTERNAL, NOT_VALID, TOO_LARGE, UNAVAILABLE, UNSUPPORTED, Refusal
from .route import JSON, Nothing, Route

Json = dict[str, Any]

VARYING = re.compile(r"{(\w+)(?::path)?}")
"""A part of a path that varies, as the router writes it."""

_REFERENCE = "#/components/schemas/{name}"


def encoded(routes: Sequence[Route]) -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document(routes))


def document(routes: Sequence[Route]) -> Json:
    """Return the OpenAPI document of these routes."""
    schemas = _Schemas()
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(VARYING.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Onward", "version": version("onward")},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


class _Schemas:
    """Schemas of types. What has a name of its own stands among the components, once."""

    def __init__(self) -> None:
        self.components: Json = {}

    def of(self, kind: Any) -> Json:
        """Return the schema of a type."""
        if kind is object:
            return {}
        (schema,), components = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
        self.components.update(components)
        return schema

    def fields(self, kind: type[Struct]) -> tuple[Json, list[str]]:
        """Return the schemas of a type's fields, and the names of those that must be there."""
        _, components = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
        own: Json = components.pop(kind.__name__)
        self.components.update(components)
        return own["properties"], own["required"]


def _operation(route: Route, schemas: _Schemas) -> Json:
    query, taken, returned = route.types
    body = route.body or taken
    answer = returned if returned is not Response else route.answer
    operation: Json = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "tags": [route.handler.__module__.rpartition(".")[2]],
        "parameters": [*_path_parameters(route), *_query_parameters(query, schemas)],
        "responses": {
            str(route.status): {
                "description": "What was asked for.",
                "content": _content(route.media, answer, schemas),
            },
            **_refused(_refusals(route, has_body=body is not Nothing), schemas),
        },
    }
    if body is not Nothing:
        is_needed = not (isinstance(body, type) and issubclass(body, Struct) and _has_defaults(body))
        operation["requestBody"] = {"required": is_needed, "content": _content((JSON,), body, schemas)}
    if route.is_open:
        operation["security"] = []
    return operation


def _path_parameters(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in VARYING.findall(route.path)
    ]


def _query_parameters(query: type[Struct], schemas: _Schemas) -> list[Json]:
    fields, required = schemas.fields(query)
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema} for name, schema in fields.items()
    ]


def _content(media: Sequence[str], kind: Any, schemas: _Schemas) -> Json:
    binary: Json = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {one: {"schema": schemas.of(kind) if one == JSON or kind is str else binary} for one in media}


def _refusals(route: Route, *, has_body: bool) -> list[Refusal]:
    always = [INTERNAL, *UNAVAILABLE] if not route.is_open else []
    if has_body:
        always += [BAD_REQUEST, TOO_LARGE, UNSUPPORTED, NOT_VALID]
    elif route.types[0] is not Nothing:
        always.append(BAD_REQUEST)
    return list(dict.fromkeys([*route.refusals, *always]))


def _refused(refusals: Sequence[Refusal], schemas: _Schemas) -> Json:
    by_status: dict[int, list[Refusal]] = {}
    for one in refusals:
        by_status.setdefault(one.status, []).append(one)
    content = {PROBLEM: {"schema": schemas.of(ProblemView)}}
    return {
        str(status): {"description": _description(status, by_status[status]), "content": content}
        for status in sorted(by_status)
    }


def _description(status: int, refusals: Sequence[Refusal]) -> str:
    codes = " ".join(f"`{one.code}`: {one.meaning}" for one in refusals)
    return f"{TITLES[status]}. {codes}"


def _has_defaults(kind: type[Struct]) -> bool:
    return not any(field.required for field in msgspec.structs.fields(kind))

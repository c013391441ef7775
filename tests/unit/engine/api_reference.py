"""The generated blocks of `docs/api.md`. After a change of a route: `python -m tests.unit.engine.api_reference`."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from onward_engine.routes import ROUTES
from onward_engine.routes.openapi import document

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
_PROBLEM = "ProblemView"

Json = dict[str, Any]


def with_blocks(page: str) -> str:
    """Return the page with every generated block as the routes would have it now."""
    for name, text in blocks().items():
        pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert len(pattern.findall(page)) == 1, name
        page = pattern.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)  # noqa: B023 - used at once
    return page


def blocks() -> dict[str, str]:
    """Return all generated blocks by name."""
    found = document(ROUTES)
    return {"routes": _routes(found), "selection": _selection(found), "codes": _codes(), "types": _types(found)}


def _routes(found: Json) -> str:
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            [tag] = operation["tags"]
            query = [f"`{one['name']}`" for one in operation["parameters"] if one["in"] == "query"]
            given = _answer(operation)
            cells = (f"`{method.upper()} {path}`", operation["summary"], ", ".join([*_body(operation), *query]), given)
            by_tag[tag].append(f"| {' | '.join(cells)} |")
    head = "| request | | takes | gives |\n|---|---|---|---|"
    return "\n\n".join(f"### {tag.capitalize()}\n\n{head}\n" + "\n".join(rows) for tag, rows in by_tag.items())


def _body(operation: Json) -> list[str]:
    if "requestBody" not in operation:
        return []
    return [_name(operation["requestBody"]["content"]["application/json"]["schema"])]


def _answer(operation: Json) -> str:
    status, answer = next(iter(operation["responses"].items()))
    media = next(iter(answer["content"]))
    if media != "application/json":
        return f"{status}, {media}"
    return f"{status}, {_name(answer['content'][media]['schema'])}"


def _selection(found: Json) -> str:
    parameters = found["paths"]["/v1/runs"]["get"]["parameters"]
    rows = [f"| `{one['name']}` | {one['schema'].get('description', '')} |" for one in parameters]
    return "| | |\n|---|---|\n" + "\n".join(rows)


def _codes() -> str:
    refusals = {one.code: one for route in ROUTES for one in route.refusals}
    rows = [
        f"| {one.status} | `{one.code}` | {one.meaning} |"
        for one in sorted(refusals.values(), key=lambda one: (one.status, one.code))
    ]
    return "| status | code | |\n|---|---|---|\n" + "\n".join(rows)


def _types(found: Json) -> str:
    schemas: Json = found["components"]["schemas"]
    return "\n\n".join(_type(name, schema) for name, schema in schemas.items() if name != _PROBLEM)


def _type(name: str, schema: Json) -> str:
    title = f"### {name}\n\n{' '.join(schema.get('description', '').split())}".rstrip()
    if "enum" in schema:
        return f"{title}\n\nOne of {', '.join(f'`{one}`' for one in schema['enum'])}."
    required = schema.get("required", [])
    rows = [
        f"| `{field}` | {_name(kind)} | {_default(kind, is_needed=field in required)} | {kind.get('description', '')} |"
        for field, kind in schema.get("properties", {}).items()
    ]
    return title if not rows else f"{title}\n\n| field | | default | |\n|---|---|---|---|\n" + "\n".join(rows)


def _name(schema: Json) -> str:
    """Return a type in a few words."""
    if "$ref" in schema:
        name: str = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_name(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {_name(schema.get('items', {}))}"
        case "object":
            return "object"
        case None:
            return "any"
        case kind:
            return str(kind)


def _default(schema: Json, *, is_needed: bool) -> str:
    if is_needed:
        return ""
    default = schema.get("default")
    return "none" if default in (None, "", [], {}) else f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(with_blocks(PAGE.read_text()))

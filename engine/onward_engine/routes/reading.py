"""What a request asks for, as typed values. Everything that is not as expected is a `Problem`."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct, structs
from starlette.requests import Request

from ..body import read_body
from ..rules.events import json_problem
from .refusals import BAD_REQUEST, NOT_VALID, UNSUPPORTED

B = TypeVar("B")


class QueryReader:
    """Reads queries of one type. A field that is a list is given several times, or once with commas."""

    def __init__(self, kind: type[Struct]) -> None:
        self._kind = kind
        self._types = {field.encode_name: field.type for field in structs.fields(kind)}

    def read(self, pairs: Iterable[tuple[str, str]]) -> Struct:
        """Return the query as a value."""
        found: dict[str, Any] = {}
        for name, text in pairs:
            kind = self._types.get(name)
            if kind is None:
                raise BAD_REQUEST.problem(self._unknown(name))
            if _is_list(kind):
                found.setdefault(name, []).extend(part for part in text.split(",") if part)
            else:
                found[name] = text
        return msgspec.convert({name: self._value(name, value) for name, value in found.items()}, self._kind)

    def _value(self, name: str, value: str | list[str]) -> Any:
        try:
            return msgspec.convert(value, self._types[name], strict=False)
        except msgspec.ValidationError as error:
            raise BAD_REQUEST.problem(f"{name} is not valid: {error}.{_choices(self._types[name])}") from None

    def _unknown(self, name: str) -> str:
        if not self._types:
            return f"There is no parameter {name!r} here, nor any other."
        return f"There is no parameter {name!r} here; there are {', '.join(sorted(self._types))}."


async def read_json(request: Request, kind: type[B], bytes_max: int, depth_max: int) -> B:
    """Return the body as a value. No body is as good as `{}`."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media and media != "application/json" and not media.endswith("+json"):
        raise UNSUPPORTED.problem(f"The body has to be application/json, not {media}.")
    body = await read_body(request.receive, bytes_max) or b"{}"
    if problem := json_problem(body, depth_max):
        raise BAD_REQUEST.problem(f"The body {problem}.")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise NOT_VALID.problem(f"The body is not what was expected: {error}.") from None
    except msgspec.MsgspecError as error:
        raise BAD_REQUEST.problem(f"The body is not JSON: {error}.") from None


def payload_of(value: Any, packed: str, name: str) -> bytes:
    """Return as MessagePack what was given as JSON, or as base64 of MessagePack under `name`_msgpack."""
    try:
        return base64.b64decode(packed, validate=True) if packed else msgspec.msgpack.encode(value)
    except ValueError:  # `binascii.Error`, or characters that are not ASCII
        raise BAD_REQUEST.problem(f"{name}_msgpack is not base64.") from None
    except OverflowError:
        raise BAD_REQUEST.problem(f"The {name} has an integer of more than 64 bits.") from None


def _is_list(kind: Any) -> bool:
    return get_origin(_bare(kind)) is list


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _choices(kind: Any) -> str:
    inner = get_args(_bare(kind))[0] if _is_list(kind) else kind
    if isinstance(inner, type) and issubclass(inner, Enum):
        return f" There are {', '.join(str(one.value) for one in inner)}."
    return ""

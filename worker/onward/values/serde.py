"""How values become bytes and come back with the type of an annotation: MessagePack for results and inputs, JSON for
events. Never pickle.

Dates, times, decimals, UUIDs and enums travel as text or numbers in both formats, so that a datetime keeps its offset
and JSON that became MessagePack on its way reads the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from onward.errors import CodecError, ConfigError

T = TypeVar("T")
Decoder = Callable[[bytes], Any]

_BUILTIN: Final = (bytes, bytearray, memoryview)
_encode_hooks: Final[dict[type, Callable[[Any], Any]]] = {}
_decode_hooks: Final[dict[type, Callable[[Any], Any]]] = {}


def register_type(cls: type[T], encode: Callable[[T], Any], decode: Callable[[Any], T]) -> None:
    """Teach the SDK to keep values of `cls` in results, inputs and events.

    `encode` returns plain or natively supported data; `decode` gets that data back as plain values (a datetime as
    text). Subclasses are encoded like `cls`. Call it at import time, in every worker. Raises `ConfigError` for classes
    that are supported natively.
    """
    if not is_custom(cls):
        raise ConfigError(
            f"register_type: values of {cls.__name__} are encoded natively; a registration would be ignored.",
            code="E0131",
        )
    _encode_hooks[cls] = encode
    _decode_hooks[cls] = decode


def encode(value: object, what: str = "value") -> bytes:
    """Return `value` as MessagePack. Raises `CodecError` that names `what` if it, or something in it, cannot be
    encoded.
    """
    try:
        return msgspec.msgpack.encode(msgspec.to_builtins(value, builtin_types=_BUILTIN, enc_hook=_encoded))
    except Exception as error:
        raise _unencodable(value, what, error) from error


def encode_json(value: object, what: str = "value") -> bytes:
    """Return `value` as JSON. Raises `CodecError` that names `what`."""
    try:
        return msgspec.json.encode(value, enc_hook=_encoded)
    except Exception as error:
        raise _unencodable(value, what, error) from error


def decoder_for(annotation: Any, what: str = "value") -> Decoder:
    """Return the function that reads MessagePack as `annotation`; it raises `CodecError` that names `what`.

    Raises `ConfigError` if no decoder can be built for the annotation.
    """
    return _guarded(_cached(_msgpack_decode, annotation, what), what)


def json_decoder_for(annotation: Any, what: str = "value") -> Decoder:
    """Like `decoder_for`, for JSON."""
    return _guarded(_cached(_json_decode, annotation, what), what)


def check_type(annotation: Any, what: str, where: str = "") -> None:
    """Raise `ConfigError` that names `what` and the reason if values of `annotation` cannot be kept."""
    _cached(_msgpack_decode, annotation, what, where)
    _cached(_json_decode, annotation, what, where)
    unknown = sorted({cls.__name__ for cls in _custom_classes(annotation) if not _is_known(cls)})
    if unknown:
        raise _unkeepable(what, f"there is no encoding for {', '.join(unknown)}", where)


def is_custom(annotation: Any) -> bool:
    """Tell whether msgspec has no encoding of its own for the class."""
    return any(cls is annotation for cls in _custom_classes(annotation))


def _encoded(value: Any) -> Any:
    """Return `value`, of a class that msgspec does not know, as something that it does."""
    for cls in type(value).__mro__:
        if cls in _encode_hooks:
            return _encode_hooks[cls](value)
    if _is_pydantic(type(value)):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    for base in (str, int, float):
        if isinstance(value, base):  # a subclass, such as a marked-up string
            return base(value)
    raise TypeError(f"there is no encoding for {type(value).__name__}")


def _decoded(cls: Any, value: Any) -> Any:
    """Return `value` as the class `cls`, which msgspec does not know."""
    if cls in _decode_hooks:
        return _decode_hooks[cls](value)
    if _is_pydantic(cls):
        return cls.model_validate(value)
    raise TypeError(f"there is no encoding for {getattr(cls, '__name__', cls)}")


def _is_pydantic(cls: Any) -> bool:
    """Pydantic 2 models by what they can do: importing pydantic would cost everybody 0.1 s."""
    return callable(getattr(cls, "model_validate", None)) and callable(getattr(cls, "model_dump", None))


def _is_known(cls: Any) -> bool:
    return cls in _decode_hooks or _is_pydantic(cls)


def _guarded(decode: Decoder, what: str) -> Decoder:
    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except Exception as error:
            raise CodecError(f"{what} cannot be read with its annotation: {error}.", code="E0204") from error

    return read


def _cached(build: Callable[[Any], Decoder], annotation: Any, what: str, where: str = "") -> Decoder:
    try:
        return _built(build, annotation) if _is_hashable(annotation) else build(annotation)
    except TypeError as error:
        raise _unkeepable(what, str(error), where) from error


def _is_hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:  # metadata in `Annotated` may be anything
        return False
    return True


@lru_cache(maxsize=1024)
def _built(build: Callable[[Any], Decoder], annotation: Any) -> Decoder:
    return build(annotation)


def _msgpack_decode(annotation: Any) -> Decoder:
    return msgspec.msgpack.Decoder(annotation, dec_hook=_decoded).decode


def _json_decode(annotation: Any) -> Decoder:
    return msgspec.json.Decoder(annotation, dec_hook=_decoded).decode


def _unkeepable(what: str, reason: str, where: str) -> ConfigError:
    return ConfigError(f"{what} cannot be kept: {reason}.", code="E0107", where=where)


def _unencodable(value: object, what: str, error: Exception) -> CodecError:
    reason = "an integer has more than 64 bits" if isinstance(error, OverflowError) else str(error)
    return CodecError(f"{what} ({type(value).__name__}) cannot be encoded: {reason}.")


def _custom_classes(annotation: Any) -> list[Any]:
    """Return the classes inside `annotation` that msgspec leaves to hooks."""
    import msgspec.inspect as types

    found: list[Any] = []
    seen: dict[int, object] = {}
    pending: list[object] = [types.type_info(annotation)]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node  # held, so that an id is not used again
        if isinstance(node, types.CustomType):
            found.append(node.cls)
        if isinstance(node, tuple):
            pending.extend(node)  # pyright: ignore[reportUnknownArgumentType] - a tuple of types or fields
        elif isinstance(node, types.Type | types.Field):
            pending.extend(getattr(node, name) for name in node.__struct_fields__)
    return found

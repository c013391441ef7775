"""How the result of a step or function is kept: the type comes from its return annotation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

from onward.values.callables import UNTYPED, place_of, return_annotation
from onward.values.serde import Decoder, check_type, decoder_for, encode

Encoder = Callable[[Any], bytes]

_warned: Final[set[str]] = set()


class LossyResultWarning(UserWarning):
    """A result without an annotation came back as something else, such as a tuple as a list."""


def result_codec(fn: Callable[..., Any], what: str) -> tuple[Encoder, Decoder]:
    """Return how the result of `fn` becomes bytes and comes back; both raise `CodecError` that names `what`.

    Raises `ConfigError` if the annotation cannot be resolved or has no decoder.
    """
    annotation = return_annotation(fn, what)
    label = f"result of {what}"
    if annotation is UNTYPED:
        return lambda value: _encode_untyped(value, label), decoder_for(Any, label)
    return lambda value: encode(value, label), decoder_for(annotation, label)


def check_result(fn: Callable[..., Any], what: str) -> None:
    """Raise `ConfigError` that names `what` if the result of `fn` could not be kept, before it is ever called."""
    annotation = return_annotation(fn, what)
    check_type(Any if annotation is UNTYPED else annotation, f"result of {what}", place_of(fn))


def _encode_untyped(value: Any, what: str) -> bytes:
    data = encode(value, what)
    if what not in _warned and not _is_same(decoder_for(Any)(data), value):
        _warned.add(what)
        message = f"{what} loses its types ({type(value).__name__}): annotate what it returns."
        warnings.warn(message, LossyResultWarning, stacklevel=3)
    return data


def _is_same(copy: Any, value: Any) -> bool:
    return type(copy) is type(value) and bool(copy == value)

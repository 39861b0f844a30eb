"""Bytes to messages and back, once at each edge. Whatever cannot be read is Poison, with a sentence that says why."""

from typing import Any, TypeVar

import msgspec

from fleetlb.contracts.v1 import Message
from fleetlb.domain.errors import Poison

M = TypeVar("M", bound=Message)

MAX_BYTES = 1024 * 1024

_encoder = msgspec.json.Encoder()
_decoders: dict[type[Message], msgspec.json.Decoder[Any]] = {}


class _Other(Message, frozen=True, kw_only=True, tag="-"):
    """Makes a union with any message, and msgspec demands the tag only in a union: without it `{}` would be one."""


def encode(message: Message) -> bytes:
    """The message as JSON."""
    return _encoder.encode(message)


def decode(kind: type[M], data: bytes) -> M:
    """Read one message of a kind. Raises Poison for anything else, however hostile."""
    if len(data) > MAX_BYTES:
        raise Poison(f"message of {len(data)} bytes is over {MAX_BYTES}")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind | _Other)
    try:
        message = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:  # the decoder bounds nesting itself
        raise Poison(f"not a {kind.__struct_config__.tag}: {str(problem)[:256]}") from None
    if not isinstance(message, kind):
        raise Poison(f"not a {kind.__struct_config__.tag}: another message stands in its place")
    return message

"""Signs a message with an operator's or account's seed, and checks it with the public key. Knows no field but one.

The signature is over the bytes as they were sent and not over what a reader makes of them, so a field that an older
reader does not know takes nothing away from it. Those bytes hold the message's type: a signature over one kind of
message passes for no other kind. A message begins with `{`, a JWT never does: neither passes for the other, though one
key signs both.
"""

import base64
import binascii
import re

import msgspec
import nkeys
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from fleetlb.contracts import codec
from fleetlb.contracts.v1 import Signed

_MARK = b',"signature":'
_END = b"}"
_TAIL = re.compile(rb'"([A-Za-z0-9_-]{86})"}')
"""64 bytes in base64, and nothing else: what a lenient decoder passes over could be fields that nobody signed."""


def signed(message: Signed, seed: str) -> bytes:
    """The message as JSON, with its signature at the end."""
    bare = codec.encode(msgspec.structs.replace(message, signature="")).removesuffix(_END)
    signature = nkeys.from_seed(bytearray(seed.encode())).sign(bare)
    return bare + _MARK + b'"' + base64.urlsafe_b64encode(signature).rstrip(b"=") + b'"' + _END


def is_signed(body: bytes, public_key: str) -> bool:
    """Whether a message ends with a signature by this key over all that stands before it."""
    bare, _, end = body.rpartition(_MARK)
    tail = _TAIL.fullmatch(end)
    if tail is None:
        return False
    try:
        _verifier(public_key).verify(bare, base64.urlsafe_b64decode(tail[1] + b"=="))
    except (BadSignatureError, ValueError):
        return False
    return True


def check_public_key(text: str) -> None:
    """Raises ValueError with a sentence unless this is a public key as NATS writes them."""
    _verifier(text)


def _verifier(public_key: str) -> VerifyKey:
    try:
        raw = base64.b32decode(public_key.encode() + b"=" * (-len(public_key) % 8))
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if len(raw) != 35 or nkeys.crc16_checksum(raw[:33]) != raw[33:]:  # a prefix, the key, a checksum
        raise ValueError(f"{public_key[:64]!r} is no public key of NATS: 56 letters and digits, such as OABC…")
    return VerifyKey(raw[1:33])

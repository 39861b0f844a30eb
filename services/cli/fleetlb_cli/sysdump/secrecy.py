"""Takes secrets out of what is written down, whoever put them there. Pure.

Two nets: everything that has the form of a secret, also inside of base64; and what is known to be one here, such as the
credentials with which the fleet is looked at, in whatever form it is repeated. Whole files pass through it, so that no
kind of content can be forgotten.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

REMOVED = b"[removed: a secret]"
_LEAST = 8
"""Shorter texts are no secrets, and would be found everywhere."""
_FORMS = tuple(
    re.compile(form, re.DOTALL)
    for form in (
        rb"(?<![A-Z2-7])S[AONUCX][A-Z2-7]{56}(?![A-Z2-7])",  # a seed of NATS
        rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",  # a JWT
        rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        rb"(?<=://)[^\s/@\"']+(?=@)",  # of a URL
        rb"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{8,}",
    )
)
_ENCODED = re.compile(rb"[A-Za-z0-9+/]{32,}={0,2}")
_SECRET_NAME = re.compile(r"SEED|TOKEN|PASSWORD|SECRET|CREDS|CREDENTIAL|PRIVATE|API_?KEY", re.IGNORECASE)
_KUBECONFIG_SECRETS = frozenset({"token", "password", "client-key-data", "id-token", "refresh-token"})


class Secrecy:
    """What must not be written down here."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """`known`: secrets that may have any form."""
        spelled = {spelling for text in known if len(text) >= _LEAST for spelling in _spellings(text)}
        longest_first = sorted(spelled, key=lambda each: (-len(each), each))
        self._known = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None

    def clean(self, content: bytes) -> bytes:
        """The same without secrets."""
        return _ENCODED.sub(self._decoded, self._removed(content))

    def _removed(self, content: bytes) -> bytes:
        if self._known is not None:
            content = self._known.sub(REMOVED, content)
        for form in _FORMS:
            content = form.sub(REMOVED, content)
        return content

    def _decoded(self, found: "re.Match[bytes]") -> bytes:
        """Base64 that hides a secret goes as a whole."""
        text = found.group()
        with_padding = text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4)
        try:
            inside = base64.b64decode(with_padding)
        except binascii.Error:
            return text
        return text if self._removed(inside) == inside else REMOVED


def of_creds(text: str) -> Iterator[str]:
    """Secrets of a file with NATS credentials: each line that is one word, and no mark around them."""
    yield from (line.strip() for line in text.splitlines() if len(line.split()) == 1 and line.strip("-* \t"))


def of_kubeconfig(text: str) -> Iterator[str]:
    """Secrets of a kubeconfig; none of a text that is none."""
    try:
        yield from _under_names(yaml.safe_load(text))
    except yaml.YAMLError:
        return


def of_environ(environ: Mapping[str, str]) -> Iterator[str]:
    """Values of variables whose names say that they are secrets."""
    yield from (value for name, value in environ.items() if _SECRET_NAME.search(name) and not value.startswith("/"))


def _under_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in _KUBECONFIG_SECRETS and isinstance(inner, str):
                yield inner
            else:
                yield from _under_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _under_names(inner)


def _spellings(text: str) -> Iterator[bytes]:
    """As it is, and alone in base64."""
    plain = text.encode()
    yield plain
    yield base64.b64encode(plain).rstrip(b"=")
    yield base64.urlsafe_b64encode(plain).rstrip(b"=")

"""Annotations of a Service that are ours: what each may say, and what a Service asks for by them. Pure, and total.

A value is taken or refused with the annotation's name and the cure. Every annotation under our prefix is known here;
one that is not is refused, so that a slip of the pen is never passed over.
"""

import enum
import re
from collections.abc import Mapping

import msgspec

from fleetlb.domain.addresses import parse_address
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.virtual_servers import MAX_DRAIN_SECONDS, Scheduler

PREFIX = "fleetlb.dev/"
MAX_HOSTNAME = 253
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SHARING_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./:]{0,61}[A-Za-z0-9])?")
NO_SHARING_KEY = "is no sharing key: use at most 63 letters, digits and -_./: between a letter or digit at both ends"
_WHOLE = re.compile(r"[0-9]{1,9}")


class Annotation(enum.StrEnum):
    """What a tenant may write on a Service."""

    ADDRESSES = "fleetlb.dev/addresses"
    POOL = "fleetlb.dev/pool"
    SHARING_KEY = "fleetlb.dev/sharing-key"
    SCHEDULER = "fleetlb.dev/scheduler"
    PROXY_PROTOCOL = "fleetlb.dev/proxy-protocol"
    DRAIN_SECONDS = "fleetlb.dev/drain-seconds"
    HOSTNAME = "fleetlb.dev/hostname"

    @property
    def short(self) -> str:
        """Its name without the prefix, as a Tenant's policy has it."""
        return self.value.removeprefix(PREFIX)


class Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a Service's annotations ask for; a default means that nothing was asked."""

    addresses: tuple[str, ...] = ()
    """Canonical, in the order given."""
    pool: str = ""
    sharing_key: str = ""
    scheduler: Scheduler | None = None
    proxy_protocol: bool = False
    drain_seconds: int | None = None
    hostname: str = ""


def parse_annotations(annotations: Mapping[str, str], spelled: Mapping[str, str] | None = None) -> Asked | Refusal:
    """What is asked for by annotations of ours among all that a Service has, or what is wrong with one.

    `spelled`: how the tenant wrote an annotation of ours, where another product's spelling was taken for it.
    """
    ours = {key: text for key, text in annotations.items() if key.startswith(PREFIX)}
    if not ours:
        return _NOTHING
    unknown = sorted(key for key in ours if key not in _KNOWN)
    if unknown:
        known = ", ".join(sorted(_KNOWN))
        message = f"annotation {unknown[0][:96]}: not known; remove it (known: {known})"
        return Refusal(Reason.UNSUPPORTED, message)
    try:
        return _asked(ours)
    except _Wrong as wrong:
        name = (spelled or {}).get(wrong.annotation, wrong.annotation)
        return Refusal(Reason.INVALID, f"annotation {name}: {wrong.what}")


class _Wrong(Exception):
    """A value that cannot be taken."""

    def __init__(self, annotation: Annotation, what: str) -> None:
        super().__init__(what)
        self.annotation, self.what = annotation, what


def _asked(ours: Mapping[str, str]) -> Asked:
    return Asked(
        addresses=_addresses(ours.get(Annotation.ADDRESSES, "")),
        pool=_pool(ours.get(Annotation.POOL, "")),
        sharing_key=_sharing_key(ours.get(Annotation.SHARING_KEY, "")),
        scheduler=_scheduler(ours.get(Annotation.SCHEDULER, "")),
        proxy_protocol=_proxy_protocol(ours.get(Annotation.PROXY_PROTOCOL, "")),
        drain_seconds=_drain_seconds(ours.get(Annotation.DRAIN_SECONDS, "")),
        hostname=_hostname(ours.get(Annotation.HOSTNAME, "")),
    )


def _addresses(text: str) -> tuple[str, ...]:
    listed = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(dict.fromkeys(str(parse_address(part)) for part in listed))
    except ValueError as problem:
        raise _Wrong(Annotation.ADDRESSES, str(problem)) from None


def _pool(text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise _Wrong(Annotation.POOL, f"{text[:64]!r} is not the name of an AddressPool")
    return text


def _sharing_key(text: str) -> str:
    if text and not is_sharing_key(text):
        raise _Wrong(Annotation.SHARING_KEY, f"{text[:64]!r} {NO_SHARING_KEY}")
    return text


def is_sharing_key(text: str) -> bool:
    """Whether Services may share addresses under this key."""
    return bool(_SHARING_KEY.fullmatch(text))


def _scheduler(text: str) -> Scheduler | None:
    if text and text not in _SCHEDULERS:
        raise _Wrong(Annotation.SCHEDULER, f"{text[:64]!r} is not a scheduler; use one of {', '.join(_SCHEDULERS)}")
    return Scheduler(text) if text else None


def _proxy_protocol(text: str) -> bool:
    if text not in ("", "v2"):
        raise _Wrong(Annotation.PROXY_PROTOCOL, f"{text[:64]!r} is not served; use v2, or remove it")
    return bool(text)


def _drain_seconds(text: str) -> int | None:
    if not text:
        return None
    if not _WHOLE.fullmatch(text) or int(text) > MAX_DRAIN_SECONDS:
        what = f"{text[:64]!r} is not a number of seconds from 0 to {MAX_DRAIN_SECONDS}"
        raise _Wrong(Annotation.DRAIN_SECONDS, what)
    return int(text)


def _hostname(text: str) -> str:
    labels = text.split(".")
    is_address = labels[-1].isdigit()
    if text and (len(text) > MAX_HOSTNAME or is_address or not all(_NAME.fullmatch(label) for label in labels)):
        raise _Wrong(Annotation.HOSTNAME, f"{text[:64]!r} is not a name in DNS, in lower case, such as web.example.org")
    return text


_KNOWN = frozenset(annotation.value for annotation in Annotation)
_SCHEDULERS = tuple(scheduler.value for scheduler in Scheduler)
_NOTHING = Asked()

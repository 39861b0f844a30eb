"""Reads a service's settings from `FLEETLB_*` variables into one frozen struct, reporting every problem together.

Unknown variables are errors: a misspelt setting must not silently leave its default in force. An empty variable counts
as not set. This module must not read the environment itself; it is given one.
"""

import difflib
import socket
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

PREFIX = "FLEETLB_"
HIDDEN = "***"
_SERVICE_LINK_ENDINGS = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_TCP", "_TCP_ADDR", "_TCP_PORT", "_TCP_PROTO")

T = TypeVar("T", bound=msgspec.Struct)


class LogFormat(Enum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(Enum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def setting(description: str, *, secret: bool = False, pattern: str | None = None) -> msgspec.Meta:
    """Annotates a field: what it means, with its unit, and whether its value must never be shown."""
    return msgspec.Meta(description=description, extra={"secret": True} if secret else None, pattern=pattern)


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every service can be told; a service's own settings inherit from it."""

    http_address: Annotated[
        str,
        setting(
            "host:port for /healthz, /readyz and /metrics; port 0 takes a free one",
            pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):\d{1,5}$",
        ),
    ] = "0.0.0.0:8080"
    log_level: Annotated[LogLevel, setting("debug, info, warning or error: the least severe lines written")] = (
        LogLevel.INFO
    )
    log_format: Annotated[LogFormat, setting("json for machines or console for people")] = LogFormat.JSON
    identity: Annotated[str, setting("name of this replica in leases and logs; the default is the host's")] = (
        msgspec.field(default_factory=socket.gethostname)
    )

    def problems(self) -> list[str]:
        """What no type can say, one sentence each that names the variable and the cure; for subclasses to extend."""
        return []


class SettingsError(Exception):
    """The environment cannot be used; `problems` says everything that must be changed, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        """At least one problem."""
        super().__init__("; ".join(problems))
        self.problems = problems


def load(kind: type[T], environ: Mapping[str, str]) -> T:
    """The settings that an environment describes. Raises SettingsError."""
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value != ""}
    hints = typing.get_type_hints(kind, include_extras=True)
    problems: list[str] = []
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        variable = variable_of(field.name)
        hint = hints[field.name]
        if variable in given:
            try:
                values[field.name] = _converted(given[variable], hint)
            except msgspec.ValidationError as problem:
                problems.append(_malformed(variable, given[variable], hint, str(problem)))
        elif field.required:
            problems.append(f"{variable} is not set: set it to {_description(hint)}")
    known = [variable_of(field.name) for field in msgspec.structs.fields(kind)]
    problems += [_unknown(name, known) for name in sorted(given) if name not in known]
    if problems:
        raise SettingsError(tuple(problems))
    settings = kind(**values)
    if isinstance(settings, ProcessSettings) and (found := settings.problems()):
        raise SettingsError(tuple(found))
    return settings


def variable_of(field: str) -> str:
    """The variable that a field is read from."""
    return PREFIX + field.upper()


def masked(settings: msgspec.Struct) -> dict[str, object]:
    """The settings as plain values for showing, with secrets hidden."""
    hints = typing.get_type_hints(type(settings), include_extras=True)
    shown: dict[str, object] = {}
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        hidden = value is not None and _is_secret(hints[field.name])
        shown[field.name] = HIDDEN if hidden else msgspec.to_builtins(value, enc_hook=str)
    return shown


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[host]:port` as its parts."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _converted(text: str, hint: Any) -> Any:
    raw: object = text
    if _is_collection(hint):
        raw = [item.strip() for item in text.split(",") if item.strip()]
    return msgspec.convert(raw, hint, strict=False, dec_hook=_from_text)


def _from_text(kind: type, value: object) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"settings cannot be of type {kind}")


def _is_collection(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Annotated:
        return _is_collection(get_args(hint)[0])
    if origin in (types.UnionType, typing.Union):
        return any(_is_collection(member) for member in get_args(hint))
    return origin in (list, tuple, set, frozenset) or hint in (list, tuple, set, frozenset)


def _metas(hint: Any) -> list[msgspec.Meta]:
    return [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]


def _description(hint: Any) -> str:
    return next((meta.description for meta in _metas(hint) if meta.description), "a value")


def _is_secret(hint: Any) -> bool:
    return any((meta.extra or {}).get("secret") for meta in _metas(hint))


def _malformed(variable: str, text: str, hint: Any, reason: str) -> str:
    shown = HIDDEN if _is_secret(hint) else repr(text)
    # The decoder quotes the offending value in some of its texts; a secret must not leak that way.
    why = "" if _is_secret(hint) else f" ({reason})"
    return f"{variable}={shown} cannot be read{why}: set it to {_description(hint)}"


def _unknown(name: str, known: list[str]) -> str:
    # The prefix, being the same for all, would make everything look alike.
    near = difflib.get_close_matches(name[len(PREFIX) :], [other[len(PREFIX) :] for other in known], n=1, cutoff=0.75)
    if near:
        return f"{name} is no setting: did you mean {PREFIX}{near[0]}?"
    if name.endswith(_SERVICE_LINK_ENDINGS):
        return (
            f"{name} is no setting: it looks like a Kubernetes service link, set enableServiceLinks: false on the pod"
        )
    return f"{name} is no setting: remove it, the settings are {', '.join(known)}"

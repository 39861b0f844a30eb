"""What the services asked of API servers, by their audit logs, held against the rights that they have."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from fleetlb_cli.local import admitting
from fleetlb_cli.local.admitting import Account
from fleetlb_cli.rights.granting import Rights, rights_of

USER = "system:serviceaccount:"
ALLOW = "allow"


class Use(NamedTuple):
    """One kind of request that a ServiceAccount made."""

    account: str
    own_namespace: str
    """Where the account is."""
    group: str
    resource: str
    """With its subresource, as a rule names it."""
    verb: str
    namespace: str
    name: str


class Right(NamedTuple):
    """One verb on one resource, of one rule."""

    account: str
    is_everywhere: bool
    group: str
    resource: str
    verb: str
    names: frozenset[str]

    def __str__(self) -> str:
        """For whoever must take it away."""
        where = "everywhere" if self.is_everywhere else "in its namespace"
        names = f" named {', '.join(sorted(self.names)[:2])}" if self.names else ""
        return f"{self.account}: {self.verb} {self.resource}.{self.group}{names} {where}"

    def lets(self, use: Use) -> bool:
        """Whether it is enough for a request."""
        is_said = (self.account, self.group, self.resource, self.verb) == (
            use.account, use.group, use.resource, use.verb,
        )  # fmt: skip
        is_there = self.is_everywhere or use.namespace == use.own_namespace
        return is_said and is_there and (not self.names or use.name in self.names)


class _User(msgspec.Struct):
    username: str = ""


class _Object(msgspec.Struct, rename="camel"):
    resource: str = ""
    subresource: str = ""
    api_group: str = ""
    namespace: str = ""
    name: str = ""


class _Line(msgspec.Struct, rename="camel"):
    verb: str
    user: _User = msgspec.field(default_factory=_User)
    object_ref: _Object | None = None
    annotations: dict[str, str] = {}


def rights_of_services() -> list[Right]:
    """All that the services of a local fleet may do."""
    return [
        right
        for account in (admitting.MANAGER, admitting.STATUS, admitting.WATCHER)
        for right in rights_in(account, map(rights_of, account.roles.values()))
    ]


class Record:
    """All requests in some audit logs."""

    def __init__(self) -> None:
        self.uses: set[Use] = set()
        self.refused: set[Use] = set()

    def read(self, state: Path) -> "Record":
        """Add the logs of a fleet, by its state folder."""
        for log in sorted(state.glob("clusters/*/audit*.log")):
            for line in _lines(log):
                self._add(line)
        return self

    def _add(self, line: _Line) -> None:
        if line.object_ref is None or not line.user.username.startswith(USER):
            return
        namespace, _, account = line.user.username.removeprefix(USER).partition(":")
        what = line.object_ref
        resource = f"{what.resource}/{what.subresource}" if what.subresource else what.resource
        use = Use(account, namespace, what.api_group, resource, line.verb, what.namespace, what.name)
        is_allowed = line.annotations.get("authorization.k8s.io/decision") == ALLOW
        (self.uses if is_allowed else self.refused).add(use)


def _lines(log: Path) -> Iterator[_Line]:
    with log.open("rb") as file:
        for text in file:
            if text.endswith(b"\n"):  # the last one may be half there
                yield msgspec.json.decode(text, type=_Line)


def rights_in(account: Account, files: Iterable[Rights]) -> list[Right]:
    """Each right in an account's files of rules."""
    return [
        Right(account.name, is_everywhere, group, resource, verb, frozenset(rule.get("resourceNames", ())))
        for rights in files
        for is_everywhere, rules in ((True, rights.cluster), (False, rights.namespace))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def unused(rights: Iterable[Right], uses: Iterable[Use]) -> list[Right]:
    """Rights without which every request would have been let through: each is needed by one that no narrower lets."""
    every, asked = list(rights), list(uses)
    return [right for right in every if not any(_needs(use, right, every) for use in asked)]


def lacking(rights: Iterable[Right], refused: Iterable[Use]) -> list[Use]:
    """Requests of accounts that have rights, and none that lets them. An API server that has just begun refuses others
    too, until it has read roles."""
    every = list(rights)
    accounts = {right.account for right in every}
    return [use for use in refused if use.account in accounts and not any(right.lets(use) for right in every)]


def _needs(use: Use, right: Right, every: list[Right]) -> bool:
    if not right.lets(use):
        return False
    return not any(other.lets(use) and _is_narrower(other, right) for other in every)


def _is_narrower(one: Right, than: Right) -> bool:
    if one.is_everywhere != than.is_everywhere:
        return than.is_everywhere
    return bool(one.names) and not than.names

"""A Service as its user sees it: the little of it that people and tests look at. Values."""

import msgspec

from fleetlb.domain.conditions import SERVING
from fleetlb.kube.resources import Resource


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a Service's metadata that is looked at."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None


class Ingress(msgspec.Struct, frozen=True):
    """One address."""

    ip: str = ""


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One condition."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


class LoadBalancerStatus(msgspec.Struct, frozen=True):
    """`status.loadBalancer`."""

    ingress: tuple[Ingress, ...] = ()


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """`status`."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: tuple[Condition, ...] = ()


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    """The part of `spec` that says whose Service it is."""

    type: str = ""
    load_balancer_class: str | None = None


class Service(msgspec.Struct, frozen=True):
    """A Service as its user sees it."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    def condition(self, kind: str) -> Condition | None:
        """One of its conditions."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def vip(self) -> str:
        """Its address, or nothing yet."""
        return next((ingress.ip for ingress in self.status.load_balancer.ingress), "")

    @property
    def is_serving(self) -> bool:
        """Whether its condition says so."""
        return any(c.type == SERVING and c.status == "True" for c in self.status.conditions)

    def describe(self) -> str:
        """Its conditions in one line, for a failed wait."""
        return (
            "; ".join(f"{c.type}={c.status} {c.reason}: {c.message}" for c in self.status.conditions) or "no condition"
        )


WATCHED = Resource("", "v1", "services", Service, kind_name="Service")

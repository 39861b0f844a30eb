"""What `fleetlb restore` says, line by line. Pure."""

from collections.abc import Iterator, Sequence

from fleetlb.contracts.v1 import Owner
from fleetlb.kube.lease_terms import Lease
from fleetlb_cli.audit.picture import named
from fleetlb_cli.restore.deciding import Course, Names, Reclaim, Step


def as_lines(closed: Sequence[Lease], course: Course) -> Iterator[str]:
    """What waits, what would be changed, what is in the way."""
    if closed:
        names = ", ".join(lease.metadata.name for lease in closed)
        yield f"the store went back in time; waiting to be accepted: {names}"
    else:
        yield "no restore waits to be accepted"
    yield from (_line(step) for step in course.steps)
    if not course.steps:
        yield "every address that is served is claimed for whom it is served"
    yield from (f"in the way: {obstacle}" for obstacle in course.obstacles)


def _line(step: Step) -> str:
    if not isinstance(step, Reclaim):
        addresses = ", ".join(step.item.spec.addresses)
        return f"LoadBalancer of {named(step.item)} with {addresses}: of the past, to be made anew"
    who = " and ".join(_who(share.owner, step.names[share.owner]) for share in step.serving.shares)
    if step.instead_of is None:
        return f"{step.serving.address}: to be claimed for {who}"
    before = step.instead_of.spec
    past = f"{before.owner.tenant}/{before.owner.namespace}/{before.owner.name} ({before.phase})"
    return f"{step.serving.address}: to be claimed for {who}, not for {past}"


def _who(owner: Owner, names: Names) -> str:
    if names.name:
        return f"{owner.tenant}/{names.namespace}/{names.name}"
    return f"{owner.tenant}, Service {owner.service_uid}"

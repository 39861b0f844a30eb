"""Which balancer groups carry an address, and the steps of its move from one group to another. Pure.

    group: a                                  pool.spec.group becomes b
    group: a, movingTo: b                     nodes of both carry it; every object goes to b once all nodes of b do
    group: b, movingFrom: a                   nodes of a let go of it
    group: b

A move that is called off goes back by `movingBack`. Nothing is concluded from silence: each step away from a group
waits for the word of every one of its nodes. What stands in a claim is enough to go on after a crash.
"""

from collections.abc import Set

from msgspec.structs import replace

from fleetlb.contracts.objects import AddressClaim, AddressClaimSpec, ClaimPhase


def may_answer(spec: AddressClaimSpec, group: str) -> bool:
    """Whether the nodes of a group may answer for it on layer 2: never those of two, who do not know of each other."""
    return group == spec.group and not spec.moving_from


def seen_in(claim: AddressClaim, group: str) -> AddressClaim:
    """A claim as it looks to who stands in one of the groups that carry it. For reading alone."""
    if group == claim.spec.group or group not in claim.spec.carriers:
        return claim
    return replace(claim, spec=replace(claim.spec, group=group))


def next_place(
    spec: AddressClaimSpec, target: str, standing: Set[str], *, is_let_go: bool, may_leave: bool = True
) -> AddressClaimSpec:
    """A claim one step nearer to a group, or as it is while something must be waited for.

    `standing`: the groups that the objects of all who have the address name, "" for one without an object; `is_let_go`:
    every node of the group that it is withdrawn from has let go of it; `may_leave`: the group that carries it may be
    told to let go.
    """
    here, there = spec.group, spec.moving_to
    if spec.phase is not ClaimPhase.BOUND:
        return spec
    if spec.withdrawn_from:
        return replace(spec, moving_to="", moving_back=False, moving_from="") if is_let_go else spec
    if not there:
        return replace(spec, moving_to=target) if target != here else spec
    if standing == {there} and target != here:
        return replace(spec, group=there, moving_to="", moving_from=here) if may_leave else spec
    if target != there and not standing - {here, ""}:
        return replace(spec, moving_back=True)
    return spec

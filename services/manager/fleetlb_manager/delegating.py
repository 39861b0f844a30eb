"""Whose partition each kind of key is in: there, and nowhere else, its worker runs."""

from collections.abc import Callable
from typing import Protocol

from fleetlb_manager.identities import ServiceKey, Slot
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.on_behalf import acting_for
from fleetlb_manager.queues import Work
from fleetlb_manager.workbench import Authority


class Authorities(Protocol):
    """For whom this process acts."""

    @property
    def fleet(self) -> Authority:
        """The authority over what is no tenant's."""

    def of(self, tenant: str) -> Authority:
        """The authority over a tenant."""


def on_behalf_of_each(
    work: Work, memory: Memory, authorities: Authorities, *, stand_by: Callable[[ServiceKey], float | None]
) -> Work:
    """The same work, each run under the authority over what it is about.

    A virtual server and a claim are of the tenant that has the address; what nobody has is of the fleet. `stand_by`
    hears of Services that others act for. The judgement over all tenants is memory, and needs no authority.
    """

    def at(slot: Slot) -> Authority:
        tenant = memory.tenant_at(slot)
        return authorities.of(tenant) if tenant else authorities.fleet

    def over(address: str) -> Authority:
        claim = memory.claims.at(address)
        return authorities.of(claim.spec.owner.tenant) if claim is not None else authorities.fleet

    def about(key: StatusKey) -> Authority:
        return authorities.of(key.name) if key.kind == "tenant" else authorities.fleet

    return Work(
        service=acting_for(lambda key: authorities.of(key.tenant), work.service, otherwise=stand_by),
        slot=acting_for(at, work.slot),
        allowance=acting_for(lambda key: authorities.of(key.tenant), work.allowance),
        claim=acting_for(over, work.claim),
        cluster=acting_for(lambda key: authorities.of(key.tenant), work.cluster),
        account=acting_for(authorities.of, work.account),
        tenancy=work.tenancy,
        pool=acting_for(lambda _: authorities.fleet, work.pool),
        status=acting_for(about, work.status),
    )

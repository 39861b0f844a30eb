"""From a message to what it says in words. Pure, but that names which it brings are noted in the directory."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from fleetlb.contracts import codec, plans, subjects, v1
from fleetlb.domain.conditions import PROVISIONED, SERVING
from fleetlb.domain.errors import Poison
from fleetlb.runtime.bus import Message
from fleetlb_cli.tail import integrating
from fleetlb_cli.tail.directory import Directory
from fleetlb_cli.tail.entries import Entry

MOST_LETTERS = 300
"""Of what was said by others, in one line."""


def entry_of(message: Message, at: float, names: Directory) -> Entry:
    """What a message says. `at`: when it was heard, in seconds since 1970."""
    kind = message.subject.removeprefix(f"{subjects.ROOT}.").partition(".")[0]
    blank = Entry(at=at, kind=kind, subject=message.subject, trace=message.trace)
    tell = _TELL.get(kind)
    if tell is None:
        return replace(blank, text="of a kind that this version does not know")
    try:
        told = tell(message, names, blank)
    except Poison as problem:
        return replace(blank, text=f"cannot be read: {problem}"[:MOST_LETTERS])
    return replace(told, text=told.text[:MOST_LETTERS])


def _observed(message: Message, names: Directory, blank: Entry) -> Entry:
    place = subjects.parse_observed(message.subject)
    tenant = names.tenant(place.account)
    if place.kind == "nodes":
        nodes = codec.decode(v1.NodesObserved, message.data).nodes
        eligible = sum(node.eligible for node in nodes)
        return replace(blank, tenant=tenant, text=f"{len(nodes)} nodes, {eligible} of them eligible")
    if place.kind == "inventory":
        services = codec.decode(v1.InventoryObserved, message.data).services
        return replace(blank, tenant=tenant, text=f"its watcher lives and holds {len(services)} Services", is_beat=True)
    said = codec.decode(v1.ServiceObserved, message.data)
    if said.service is not None:
        names.note_service(tenant, place.cluster, place.uid, said.service.namespace, said.service.name)
    service = names.service(tenant, place.cluster, place.uid)
    return replace(blank, tenant=tenant, service=service, hop=_hop(said.hops), text=_wish(said))


def _wish(said: v1.ServiceObserved) -> str:
    if said.service is None:
        return "is wanted no more"
    ports = ", ".join(f"{port.port}/{port.protocol.value}" for port in said.service.ports)
    if said.endpoints is None:
        return f"wishes {ports}; has no EndpointSlice"
    return f"wishes {ports}; {'a pod is ready' if said.endpoints.ready else 'no pod is ready'}"


def _allowed(message: Message, names: Directory, blank: Entry) -> Entry:
    said = codec.decode(v1.TenantAllowed, message.data)
    if said.allowed is None:
        return replace(blank, tenant=said.tenant, text=f"may have nothing on group {said.group}")
    return replace(blank, tenant=said.tenant, text=f"may have {', '.join(said.allowed.prefixes)} on group {said.group}")


def _desired(message: Message, names: Directory, blank: Entry) -> Entry:
    said = codec.decode(v1.VirtualServerDesired, message.data)
    text = f"{said.key} is to be let go of" if said.server is None else f"{said.key} {_to(said, said.server)}"
    return _of_owner(blank, said.owner, names, said.hops, f"{text} ({_revision(said)})")


def _to(said: v1.VirtualServerDesired, server: Any) -> str:
    count = len(server.real_servers)
    return f"goes to {count} real servers" if count else f"goes to nobody: {said.reason or 'unknown'}"


def _realized(message: Message, names: Directory, blank: Entry) -> Entry:
    if message.subject.endswith(".node"):
        node = codec.decode(v1.NodeRealized, message.data)
        ready = "is ready" if node.ready else "is not ready"
        return replace(blank, text=f"{node.node} {ready}, serves {node.virtual_servers} virtual servers")
    said = codec.decode(v1.VirtualServerRealized, message.data)
    text = f"{said.node} has {said.state.value} {said.key} ({_revision(said)})"
    if said.state is v1.RealizedState.PROGRAMMED:
        healthy = "" if said.healthy is None else f", {said.healthy} of {said.real_servers} healthy"
        text = f"{text}, probe {said.probe.value}{healthy}"
    return _of_owner(blank, said.owner, names, said.hops, f"{text}: {said.message}" if said.message else text)


def _reported(message: Message, names: Directory, blank: Entry) -> Entry:
    said = codec.decode(v1.ServiceReported, message.data)
    shown = ", ".join(str(each) for each in said.ingress) or "no address"
    told = [f"{c.type.rpartition('/')[2]}={c.status.value} {c.reason}" for c in said.conditions if c.type in _TOLD]
    text = "nothing of it is left" if said.released else "; ".join([shown, *told])
    return _of_service(message, names, replace(blank, hop=_hop(said.hops), text=text))


def _released(message: Message, names: Directory, blank: Entry) -> Entry:
    said = codec.decode(v1.ServiceReleased, message.data)
    text = "nothing of it is left: no object, no virtual server, no address in use"
    return _of_service(message, names, replace(blank, hop=_hop(said.hops), text=text))


def _marked(message: Message, names: Directory, blank: Entry) -> Entry:
    said = codec.decode(v1.StoreMarked, message.data)
    lease = message.subject.rpartition(".")[2]
    return replace(blank, text=f"{lease}: the store is at version {said.version}", is_beat=True)


def _about_account(text: str) -> "_Tell":
    """Of messages whose fourth token is an account."""

    def tell(message: Message, names: Directory, blank: Entry) -> Entry:
        account = (message.subject.split(".") + [""] * 4)[3]
        return replace(blank, tenant=names.tenant(account), text=text)

    return tell


def _plan(message: Message, names: Directory, blank: Entry) -> Entry:
    if message.subject == subjects.PLAN_POOL:
        name = codec.decode(plans.PoolPlanRequested, message.data).name
        return replace(blank, text=f"somebody asks what would become of the AddressPool {name}")
    asked = codec.decode(plans.ServicesPlanRequested, message.data)
    named = ", ".join(f"{each.namespace}/{each.name}" for each in asked.services)
    return replace(blank, tenant=asked.tenant, text=f"somebody asks what would become of {named}")


def _of_owner(blank: Entry, owner: v1.Owner, names: Directory, hops: v1.Hops, text: str) -> Entry:
    return replace(blank, tenant=owner.tenant, service=names.owned(owner), hop=_hop(hops), text=text)


def _of_service(message: Message, names: Directory, entry: Entry) -> Entry:
    account, cluster, uid = subjects.parse_service(message.subject)
    tenant = names.tenant(account)
    return replace(entry, tenant=tenant, service=names.service(tenant, cluster, uid))


def _hop(hops: v1.Hops) -> str:
    return hops[-1].name if hops else ""


def _revision(said: v1.VirtualServerDesired | v1.VirtualServerRealized) -> str:
    return f"revision {said.revision}"


_Tell = Callable[[Message, Directory, Entry], Entry]
_TOLD = frozenset({PROVISIONED, SERVING})
_TELL: Mapping[str, _Tell] = {
    "observed": _observed,
    "allowed": _allowed,
    "desired": _desired,
    "realized": _realized,
    "reported": _reported,
    "released": _released,
    "resync": _about_account("the manager asks its watcher to say everything again"),
    "renewal": _about_account("the manager asks its watchers to renew their credentials"),
    "snapshot": _about_account("its watcher asks for every report again"),
    "credentials": _about_account("its watcher asks for its next credentials"),
    "parked": _about_account("a message that nobody could read was parked"),
    "marked": _marked,
    "plan": _plan,
    "events": integrating.event,
    "told": integrating.record,
}

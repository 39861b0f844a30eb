"""What must be true in the end, when nobody does anything any more: everything is as the last specs say."""

from collections.abc import Iterator

from fleetlb.contracts.streams import observed_stream
from fleetlb.domain.conditions import PROVISIONED, SERVING, Reason
from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.testkit.fake_kube import NAMESPACES, Object, Place
from tests.simulation.outside import POOL
from tests.simulation.picture import Owned, Picture

Backends = dict[VirtualServerKey, tuple[str, ...]]


def untruths(picture: Picture) -> Iterator[str]:
    """Each difference between what is wished and what there is."""
    claims, tenants = picture.claims, picture.tenants
    wanted = {s.uid: s for s in picture.services if s.is_wanted and s.tenant in tenants}
    addresses = {claim["spec"]["owner"]["serviceUID"]: address for address, claim in claims.items()}
    if len(claims) != min(len(wanted), len(POOL)) or len(addresses) != len(claims):
        yield f"A10: {len(wanted)} Services want an address, {len(POOL)} there are, {len(claims)} are claimed"
    for uid in sorted({*addresses, *picture.load_balancers} - wanted.keys()):
        yield f"A8: something of {uid} is left: {addresses.get(uid)}, {picture.load_balancers.get(uid)}"
    table: Backends = {}
    for service in wanted.values():
        yield from _wanted(picture, service, addresses.get(service.uid, ""))
        table |= _table(picture, service, addresses.get(service.uid, ""))
    for service in picture.services:
        if not service.is_wanted and service.tenant in tenants:
            yield from _unwanted(service)
    yield from _kernels(picture, table)
    yield from _events(picture, wanted, addresses)
    yield from _counts(picture, addresses)
    for tenant in picture.outside.tenants.keys() - tenants.keys():
        yield from _removed(picture, tenant)


def _wanted(picture: Picture, service: Owned, address: str) -> Iterator[str]:
    item = picture.load_balancers.get(service.uid, {"spec": {}})
    held = item["spec"].get("addresses", [])
    if held != ([address] if address else []) or service.shown != held:
        yield f"V1: {service} has {address or 'nothing'}, its load balancer {held}, it shows {service.shown}"
    if not service.is_guarded:
        yield f"V3: {service} has no finalizer"
    said = {kind: _word(service.conditions.get(kind)) for kind in (PROVISIONED, SERVING)}
    if not address:
        no = ("False", Reason.POOL_EXHAUSTED)
        truth = {PROVISIONED: no, SERVING: no}
    elif picture.is_ready(service):
        truth = {PROVISIONED: ("True", Reason.COMPLETE), SERVING: ("True", Reason.SERVING)}
    else:
        truth = {PROVISIONED: ("True", Reason.COMPLETE), SERVING: ("False", Reason.NO_READY_BACKEND)}
    if said != truth:
        yield f"V10: {service} says {said}, and the truth is {truth}"


def _word(condition: Object | None) -> tuple[str, str]:
    return (condition["status"], condition["reason"]) if condition else ("", "")


def _unwanted(service: Owned) -> Iterator[str]:
    if service.is_guarded or service.shown or service.conditions:
        yield f"A8: {service} wants nothing, and is still {service.item['metadata']}, {service.item['status']}"


def _table(picture: Picture, service: Owned, address: str) -> Backends:
    """What every kernel must hold for a Service."""
    if not address:
        return {}
    node = picture.outside.tenants[service.tenant].objects[Place("nodes", "", "node-a")]
    host = node["status"]["addresses"][0]["address"]
    ready = picture.is_ready(service)
    return {
        parse_key(f"{address}:{port}/tcp"): (f"{host}:{node_port}",) if ready else ()
        for port, node_port in service.ports.items()
    }


def _kernels(picture: Picture, table: Backends) -> Iterator[str]:
    for node, plane in picture.outside.planes.items():
        is_its = picture.outside.group_of[node] == picture.place
        held = {key: tuple(f"{r.address}:{r.port}" for r in server.real_servers) for key, server in plane.items()}
        if held != (table if is_its else {}):
            yield f"P1: {node} serves {_words(held)}, and is to serve {_words(table if is_its else {})}"
    wishes = {key for (_, key), wish in picture.wishes.items() if wish.server is not None}
    if wishes != table.keys() or {group for group, _ in picture.wishes} - {picture.place}:
        yield f"V1: nodes are asked for {sorted(map(str, wishes))}, and wished is {sorted(map(str, table))}"
    for node, key in picture.words:
        if (picture.outside.group_of[node], key) not in picture.wishes:
            yield f"A8: a word of {node} about {key} is left"


def _words(table: Backends) -> dict[str, tuple[str, ...]]:
    return {str(key): real_servers for key, real_servers in sorted(table.items())}


def _events(picture: Picture, wanted: dict[str, Owned], addresses: dict[str, str]) -> Iterator[str]:
    """The last word that integrations have is true, and nobody who has an address goes unsaid."""
    told = picture.told
    for uid in sorted({*told, *addresses}):
        service, address = wanted.get(uid), addresses.get(uid, "")
        event = told.get(uid)
        said = (event.addresses, event.serving) if event else None
        truth = ((address,) if address else (), bool(address and service and picture.is_ready(service)))
        if said != truth:
            yield f"E1: integrations know of {uid} that it has {said}, and the truth is {truth}"


def _counts(picture: Picture, addresses: dict[str, str]) -> Iterator[str]:
    shown = picture.pool["status"].get("ipv4", {})
    told = tuple(shown.get(key, 0) for key in ("total", "used", "quarantined", "free"))
    truth = (len(POOL), len(addresses), 0, len(POOL) - len(addresses))
    if told != truth:
        yield f"A6: the pool says {told}, and the truth is {truth}"
    for name, tenant in picture.tenants.items():
        usage = tenant["status"].get("usage", {}).get("addresses", 0)
        held = sum(1 for claim in picture.claims.values() if claim["spec"]["owner"]["tenant"] == name)
        if usage != held:
            yield f"A6: tenant {name} says that it has {usage} addresses, and has {held}"


def _removed(picture: Picture, tenant: str) -> Iterator[str]:
    """A tenant that is not there, or no more, has left nothing."""
    outside = picture.outside
    if Place(NAMESPACES, "", f"tenant-{tenant}") in outside.management.objects or picture.secrets_of(tenant):
        yield f"A8: something of tenant {tenant} is left: {picture.secrets_of(tenant)}"
    known = {item["status"]["account"] for item in picture.tenants.values()}
    for account in outside.accounts.keys() - known:
        yield f"A8: the NATS servers still know {account}"
    streams = {name for name in outside.hub.streams if name.startswith(observed_stream("").name)}
    for name in sorted(streams - {observed_stream(account).name for account in known}):
        yield f"A8: stream {name} is left"

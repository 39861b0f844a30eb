"""Reads manifests: Services and AddressPools out of YAML, with a sentence for what cannot be read. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
import yaml

from fleetlb.contracts.object_meta import API_VERSION, Name
from fleetlb.contracts.objects import AddressPoolSpec
from fleetlb.domain.pool_selectors import PoolSelector
from fleetlb.kube.service_objects import Service

T = TypeVar("T")


class ServiceWritten(NamedTuple):
    """A Service as its manifest has it; what an API server would add is not in it."""

    service: Service
    allocates_node_ports: bool = True
    item: Mapping[str, Any] = {}
    """The whole of it, for an API server."""

    @property
    def title(self) -> str:
        """NAMESPACE/NAME."""
        return f"{self.service.metadata.namespace}/{self.service.metadata.name}"


class PoolWritten(NamedTuple):
    """An AddressPool as its manifest has it."""

    name: str
    spec: AddressPoolSpec


class Written(NamedTuple):
    """What is in a file."""

    services: tuple[ServiceWritten, ...]
    pools: tuple[PoolWritten, ...]
    others: tuple[str, ...] = ()
    """Objects that nothing is planned for, as `kind name`."""


def read_manifests(text: str, namespace: str) -> Written:
    """Every document of a YAML text; `namespace`: of Services that name none. Raises ValueError naming the field."""
    services, pools, others = list[ServiceWritten](), list[PoolWritten](), list[str]()
    for where, item in _objects(text):
        try:
            match item.get("apiVersion"), item.get("kind"):
                case "v1", "Service":
                    services.append(_service(item, namespace))
                case version, "AddressPool" if version == API_VERSION:
                    pools.append(_pool(item))
                case _:
                    others.append(f"{item.get('kind', 'an object without kind')} {_name_of(item)}".strip())
        except ValueError as problem:
            raise ValueError(f"{where}: {problem}") from None
    if not services and not pools:
        seen = f", only {', '.join(others)}" if others else ""
        raise ValueError(f"there is no v1 Service and no {API_VERSION} AddressPool in it{seen}")
    return Written(tuple(services), tuple(pools), tuple(others))


def _objects(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object and where it stands; those of a List by themselves."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as problem:
        raise ValueError(f"this is no YAML: {' '.join(str(problem).split())}") from None
    for number, document in enumerate(documents, start=1):
        where = f"document {number}" if len(documents) > 1 else "the manifest"
        if not isinstance(document, dict):
            raise ValueError(f"{where}: a mapping with apiVersion, kind, metadata and spec is needed")
        items = document.get("items") if document.get("kind") == "List" else None
        if not isinstance(items, list):
            yield where, document
            continue
        for at, item in enumerate(items):
            if not isinstance(item, dict):
                raise ValueError(f"{where}: items[{at}] is no object")
            yield f"{where}, items[{at}]", item


def _name_of(item: dict[str, Any]) -> str:
    meta = item.get("metadata")
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""


def _service(item: dict[str, Any], namespace: str) -> ServiceWritten:
    meta = item.get("metadata")
    if not isinstance(meta, dict) or not meta.get("name"):
        raise ValueError("metadata.name: missing; a Service is planned under its name")
    plain = {"uid": "", "namespace": namespace, **meta}
    service = converted({"metadata": plain, "spec": item.get("spec") or {}}, Service)
    allocates = (item.get("spec") or {}).get("allocateLoadBalancerNodePorts")
    whole = {"apiVersion": "v1", "kind": "Service", **item, "metadata": {"namespace": namespace, **meta}}
    return ServiceWritten(service, allocates is not False, whole)


def _pool(item: dict[str, Any]) -> PoolWritten:
    try:
        name = msgspec.convert(_name_of(item), Name)
    except msgspec.ValidationError:
        raise ValueError(f"metadata.name: {_name_of(item)[:64]!r} can name no AddressPool") from None
    spec = item.get("spec")
    if not isinstance(spec, dict):
        raise ValueError("spec: missing; spec.addresses is needed")
    _refuse_unknown("spec", spec, AddressPoolSpec)
    if isinstance(spec.get("selector"), dict):
        _refuse_unknown("spec.selector", spec["selector"], PoolSelector)
    return PoolWritten(name, converted(spec, AddressPoolSpec, "spec"))


def _refuse_unknown(field: str, given: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    known = kind.__struct_encode_fields__
    for name in given:
        if name not in known:
            raise ValueError(f"{field}.{name}: there is no such field; there are {', '.join(known)}")


def converted(value: object, kind: type[T], root: str = "") -> T:
    """A value as this type. Raises ValueError naming the field, below `root`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        what, _, path = str(problem).partition(" - at `$")
        field = re.sub(r"^\.", "", f"{root}{path.rstrip('`')}")
        raise ValueError(f"{field}: {what[:1].lower()}{what[1:]}" if field else what) from None

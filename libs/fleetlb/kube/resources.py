"""Kinds of objects: where the API server keeps them and which struct their JSON becomes.

A kind is any msgspec struct with a `metadata` attribute, without fields for apiVersion and kind: those are written from
the Resource. Objects without a struct of their own (Secrets, CRDs) are plain dicts. Must not know how they are sent.
"""

import urllib.parse
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from fleetlb.kube.errors import Invalid

T = TypeVar("T")
Object = dict[str, Any]
"""An object without a struct of its own."""


class Metadata(Protocol):
    """What every object says of itself."""

    @property
    def name(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    @property
    def uid(self) -> str: ...

    @property
    def resource_version(self) -> str: ...


class HasMetadata(Protocol):
    """A typed object."""

    @property
    def metadata(self) -> Metadata: ...


class Resource(Generic[T]):
    """One kind of object of an API group version; `T` is what its JSON is decoded into."""

    def __init__(
        self, group: str, version: str, plural: str, kind: type[T], namespaced: bool = True, *, kind_name: str = ""
    ) -> None:
        """`group` is empty for the core API; `kind_name` is the struct's own name unless given."""
        if not kind_name and not issubclass(kind, msgspec.Struct):
            raise ValueError(f"{plural}: kind_name is needed where the kind is not a struct")
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.kind_name = kind_name or kind.__name__
        self.namespaced = namespaced
        self.api_version = f"{group}/{version}" if group else version
        self._root = f"/apis/{self.api_version}" if group else f"/api/{version}"
        self._decoder = msgspec.json.Decoder(kind)
        self._head = msgspec.json.encode({"apiVersion": self.api_version, "kind": self.kind_name})[:-1]

    def __repr__(self) -> str:
        """As kubectl writes it: services, leases.coordination.k8s.io."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def collection_path(self, namespace: str | None = None) -> str:
        """The path of all objects, or of those in one namespace."""
        if not self.namespaced or not namespace:
            return f"{self._root}/{self.plural}"
        return f"{self._root}/namespaces/{_segment(namespace)}/{self.plural}"

    def path(self, name: str, namespace: str | None = None, subresource: str | None = None) -> str:
        """The path of one object. Raises Invalid for a name that cannot stand in a path."""
        if self.namespaced and not namespace:
            raise Invalid(f"{self!r} {name}: an object of this kind lives in a namespace and none was given")
        tail = f"/{subresource}" if subresource else ""
        return f"{self.collection_path(namespace)}/{_segment(name)}{tail}"

    def decode(self, data: bytes | msgspec.Raw) -> T:
        """JSON to an object; raises one of `errors.DECODE_PROBLEMS`."""
        return self._decoder.decode(data)

    def encode(self, item: T) -> bytes:
        """An object to JSON, with its apiVersion and kind."""
        body = msgspec.json.encode(item)
        if isinstance(item, dict):
            if "kind" in item and "apiVersion" in item:
                return body
            item = {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}  # type: ignore[assignment]
            body = msgspec.json.encode(item)
        return self._head + (b"}" if body == b"{}" else b"," + body[1:])


def name_of(item: object) -> tuple[str, str]:
    """Namespace (empty for none) and name of a struct or a dict."""
    if isinstance(item, dict):
        metadata = item.get("metadata", {})
        return metadata.get("namespace", ""), metadata.get("name", "")
    typed: Metadata = item.metadata  # type: ignore[attr-defined]
    return typed.namespace, typed.name


def _segment(name: str) -> str:
    if name in ("", ".", ".."):
        raise Invalid(f"{name!r} cannot be the name of an object")
    return urllib.parse.quote(name, safe="")


SERVICES = Resource("", "v1", "services", Object, kind_name="Service")
NODES = Resource("", "v1", "nodes", Object, namespaced=False, kind_name="Node")
NAMESPACES = Resource("", "v1", "namespaces", Object, namespaced=False, kind_name="Namespace")
SECRETS = Resource("", "v1", "secrets", Object, kind_name="Secret")
EVENTS = Resource("", "v1", "events", Object, kind_name="Event")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", Object, kind_name="EndpointSlice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", Object, kind_name="Lease")
CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    Object,
    namespaced=False,
    kind_name="CustomResourceDefinition",
)

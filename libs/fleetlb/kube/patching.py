"""Bodies of patches, each meant for one very object: with its uid, so that a namesake made later is never touched.

A wrong uid or resourceVersion is answered with Conflict, with one exception seen on a real server: a custom resource's
status takes a MERGE with any uid. There use `replace_part` or `merge_at`. Strategic patches exist for built-in kinds
only; custom resources take MERGE and JSON. Pure: sends nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fleetlb.kube.resources import Metadata

Body = dict[str, Any]
JsonPatch = list[dict[str, Any]]


def add_finalizer(uid: str, finalizer: str) -> Body:
    """STRATEGIC: add one finalizer, whatever others there are."""
    return {"metadata": {"uid": uid, "finalizers": [finalizer]}}


def remove_finalizer(uid: str, finalizer: str) -> Body:
    """STRATEGIC: remove one finalizer, whatever others there are."""
    return {"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [finalizer]}}


def set_finalizers(metadata: Metadata, finalizers: Sequence[str]) -> Body:
    """MERGE, for custom resources: the whole list, on the version that it was derived from."""
    return {"metadata": {**identity(metadata), "finalizers": list(finalizers)}}


def annotate(uid: str, annotations: Mapping[str, str | None]) -> Body:
    """MERGE or STRATEGIC: set annotations; None removes one."""
    return {"metadata": {"uid": uid, "annotations": dict(annotations)}}


def merge(uid: str, **parts: object) -> Body:
    """MERGE: `merge(uid, status={...})`. Absent fields stay (so omitted defaults reset nothing); None removes."""
    return {"metadata": {"uid": uid}, **parts}


def merge_at(metadata: Metadata, **parts: object) -> Body:
    """MERGE on one version of one object: compare and set."""
    return {"metadata": identity(metadata), **parts}


def conditions(uid: str, present: Sequence[object], absent: Sequence[str] = ()) -> Body:
    """STRATEGIC, for built-in kinds whose conditions merge by type (subresource status): others' conditions stay."""
    gone = [{"$patch": "delete", "type": name} for name in absent]
    return {"metadata": {"uid": uid}, "status": {"conditions": [*present, *gone]}}


def replace_part(uid: str, part: str, value: object) -> JsonPatch:
    """JSON: put `/status` or `/spec` as a whole, so that defaults omitted by a struct's encoder are reset too."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": f"/{part}", "value": value},
    ]


def identity(metadata: Metadata) -> dict[str, str]:
    """uid and resourceVersion: the precondition for compare and set."""
    return {"uid": metadata.uid, "resourceVersion": metadata.resource_version}

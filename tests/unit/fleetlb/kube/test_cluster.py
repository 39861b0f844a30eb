from pathlib import Path
from typing import Any

import msgspec
import prometheus_client
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube import resources
from fleetlb.kube.cluster import Cluster, PatchKind, query_string
from fleetlb.kube.errors import (
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    NotFound,
    NotPermitted,
    TooManyRequests,
    Unavailable,
    Undecodable,
)
from fleetlb.kube.kubeconfig import KubeconfigUnusable
from fleetlb.kube.resources import Resource
from fleetlb.testkit.scripted_kube import Json, Reset, ScriptedKube, refusal


class Gadget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    metadata: ObjectMeta
    size: int = 0


GADGETS = Resource("example.dev", "v1", "gadgets", Gadget)
ALL = "/apis/example.dev/v1/gadgets"
IN_NS = "/apis/example.dev/v1/namespaces/ns/gadgets"
ONE = f"{IN_NS}/a"


def gadget(name: str = "a", size: int = 1) -> Gadget:
    return Gadget(metadata=ObjectMeta(name=name, namespace="ns"), size=size)


def raw(name: str = "a", size: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "size": size}


def page(*items: dict[str, Any], token: str = "", version: str = "5") -> Json:
    return Json({"metadata": {"resourceVersion": version, "continue": token}, "items": list(items)})


async def test_nothing_is_written_once_the_right_is_gone(kube: ScriptedKube, cluster: Cluster) -> None:
    rights = [True]
    writer = cluster.writing_while(lambda: rights[0])
    kube.on("GET", ONE, Json(raw()))
    kube.on("POST", IN_NS, Json(raw(), status=201))
    await writer.create(GADGETS, gadget())
    rights[0] = False
    for write in (
        writer.create(GADGETS, gadget()),
        writer.replace(GADGETS, gadget()),
        writer.patch(GADGETS, "a", {}, kind=PatchKind.MERGE, namespace="ns"),
        writer.apply(GADGETS, gadget()),
        writer.delete(GADGETS, "a", "ns"),
    ):
        with pytest.raises(NotPermitted):
            await write
    assert await writer.get(GADGETS, "a", "ns") == gadget()
    assert [request.method for request in kube.requests] == ["POST", "GET"]
    await cluster.create(GADGETS, gadget())


async def test_get(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("GET", ONE, Json(raw()))
    assert await cluster.get(GADGETS, "a", "ns") == gadget()


async def test_create_sends_the_kind_to_the_objects_namespace(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("POST", IN_NS, Json(raw(size=2), status=201))
    assert await cluster.create(GADGETS, gadget()) == gadget(size=2)
    (request,) = kube.requests
    assert request.query == {"fieldManager": "fleetlb"}
    assert request.body == {"apiVersion": "example.dev/v1", "kind": "Gadget", **raw()}


async def test_create_of_a_dict_with_a_generated_name(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("POST", "/api/v1/namespaces/ns/events", Json({"metadata": {"name": "a-1"}}, status=201))
    created = await cluster.create(resources.EVENTS, {"metadata": {"generateName": "a-"}}, "ns")
    assert created == {"metadata": {"name": "a-1"}}
    assert kube.requests[0].body["kind"] == "Event"


async def test_replace(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("PUT", f"{ONE}/status", Json(raw()))
    assert await cluster.replace(GADGETS, gadget(), subresource="status") == gadget()
    assert kube.requests[0].body["size"] == 1


@pytest.mark.parametrize(("is_there", "method", "path"), [(True, "PUT", ONE), (False, "POST", ONE.rpartition("/")[0])])
async def test_a_dry_run_is_of_a_creation_or_a_replacement(
    kube: ScriptedKube, cluster: Cluster, is_there: bool, method: str, path: str
) -> None:
    kube.on(method, path, Json(raw()))
    assert await cluster.dry_run(GADGETS, gadget(), is_there=is_there) == gadget()
    assert kube.requests[0].query == {"fieldManager": "fleetlb", "dryRun": "All"}


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        (PatchKind.MERGE, "application/merge-patch+json"),
        (PatchKind.STRATEGIC, "application/strategic-merge-patch+json"),
        (PatchKind.JSON, "application/json-patch+json"),
    ],
)
async def test_patch(kube: ScriptedKube, cluster: Cluster, kind: PatchKind, content_type: str) -> None:
    kube.on("PATCH", f"{ONE}/status", Json(raw()))
    patched = await cluster.patch(
        GADGETS, "a", {"size": 1}, kind=kind, namespace="ns", subresource="status", field_manager="me"
    )
    assert patched == gadget()
    (request,) = kube.requests
    assert (request.body, request.query) == ({"size": 1}, {"fieldManager": "me"})
    assert request.headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("kind", "causes", "error"),
    [(PatchKind.JSON, [], Conflict), (PatchKind.JSON, [{"reason": "x"}], Invalid), (PatchKind.MERGE, [], Invalid)],
    ids=["a test failed", "the result is wrong", "not a JSON patch"],
)
async def test_a_json_patch_that_does_not_apply_is_a_conflict(
    kube: ScriptedKube, cluster: Cluster, kind: PatchKind, causes: list[object], error: type[Exception]
) -> None:
    kube.on("PATCH", ONE, refusal(422, "Invalid", causes=causes))
    with pytest.raises(error) as caught:
        await cluster.patch(GADGETS, "a", [], kind=kind, namespace="ns")
    assert type(caught.value) is error


async def test_a_patch_may_be_bytes(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("PATCH", ONE, Json(raw()))
    await cluster.patch(GADGETS, "a", b'[{"op": "remove"}]', kind=PatchKind.JSON, namespace="ns")
    assert kube.requests[0].body == [{"op": "remove"}]


@pytest.mark.parametrize("force", [True, False])
async def test_apply(kube: ScriptedKube, cluster: Cluster, force: bool) -> None:
    kube.on("PATCH", ONE, Json(raw()))
    assert await cluster.apply(GADGETS, gadget(), force=force) == gadget()
    (request,) = kube.requests
    assert request.query == {"fieldManager": "fleetlb"} | ({"force": "true"} if force else {})
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.body["apiVersion"] == "example.dev/v1"


async def test_delete_with_preconditions(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("DELETE", ONE, Json({"kind": "Status", "status": "Success"}))
    await cluster.delete(GADGETS, "a", "ns", uid="u", resource_version="7", propagation="Foreground")
    assert kube.requests[0].body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
    }


async def test_list_reads_all_pages(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("GET", ALL, page(raw("a"), token="t1"), page(raw("b"), token="t2"), page(raw("c")))
    listed = await cluster.list(GADGETS, label_selector="a=b", field_selector="c=d")
    assert [item.metadata.name for item in listed] == ["a", "b", "c"]
    selectors = {"labelSelector": "a=b", "fieldSelector": "c=d", "limit": "500"}
    tokens: list[dict[str, str]] = [{}, {"continue": "t1"}, {"continue": "t2"}]
    assert [request.query for request in kube.requests] == [selectors | token for token in tokens]


async def test_list_of_one_namespace(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("GET", IN_NS, Json({"metadata": {}, "items": None}))
    assert await cluster.list(GADGETS, "ns") == []


async def test_an_expired_page_token_means_one_list_without_pages(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("GET", ALL, page(raw("a"), token="t1"), refusal(410, "Expired"), page(raw("a"), raw("b")))
    assert len(await cluster.list(GADGETS)) == 2
    assert "limit" not in kube.requests[2].query


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (refusal(503), Unavailable),
        (Reset(), Unavailable),
        (Json(b"{"), Undecodable),
        (page({"size": "x"}), Undecodable),
    ],
    ids=["503", "reset", "nonsense", "one bad item"],
)
async def test_a_list_that_breaks_is_no_list(
    kube: ScriptedKube, cluster: Cluster, second: Any, error: type[Exception]
) -> None:
    kube.on("GET", ALL, page(raw("a"), token="t1"), second)
    with pytest.raises(error):
        await cluster.list(GADGETS)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal(404, "NotFound"), NotFound),
        (refusal(409, "Conflict"), Conflict),
        (refusal(409, "AlreadyExists"), AlreadyExists),
        (refusal(410, "Gone"), Gone),
        (refusal(422, "Invalid"), Invalid),
        (refusal(429, "TooManyRequests", retryAfterSeconds=3), TooManyRequests),
        (refusal(500, "InternalError"), Unavailable),
        (Json({"metadata": []}), Undecodable),
        (Json(b"\xff"), Undecodable),
    ],
)
async def test_errors(kube: ScriptedKube, cluster: Cluster, reply: Json, error: type[Exception]) -> None:
    kube.on("POST", IN_NS, reply)
    with pytest.raises(error) as caught:
        await cluster.create(GADGETS, gadget())
    assert type(caught.value) is error
    if isinstance(caught.value, TooManyRequests):
        assert caught.value.retry_after == 3


async def test_nothing_is_retried(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("POST", IN_NS, refusal(429, "TooManyRequests"), Json(raw()))
    with pytest.raises(TooManyRequests):
        await cluster.create(GADGETS, gadget())
    assert len(kube.requests) == 1


async def test_the_uid_is_that_of_kube_system_and_asked_for_once(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("GET", "/api/v1/namespaces/kube-system", Json({"metadata": {"uid": "u-1"}}))
    assert [await cluster.uid(), await cluster.uid()] == ["u-1", "u-1"]
    assert len(kube.requests) == 1


async def test_requests_are_counted_by_answer(kube: ScriptedKube, cluster: Cluster) -> None:
    def count(code: str) -> float:
        labels = {"method": "GET", "resource": "gadgets", "code": code}
        return prometheus_client.REGISTRY.get_sample_value("rest_client_requests_total", labels) or 0.0

    before = [count(code) for code in ("200", "404", "<error>")]
    kube.on("GET", ONE, Json(raw()), refusal(404), Reset())
    for error in (None, NotFound, Unavailable):
        if error is None:
            await cluster.get(GADGETS, "a", "ns")
        else:
            with pytest.raises(error):
                await cluster.get(GADGETS, "a", "ns")
    assert [count(code) for code in ("200", "404", "<error>")] == [b + 1 for b in before]


async def test_connecting_needs_credentials_but_no_server(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigUnusable):
        await Cluster.connect(tmp_path / "none")
    cluster = await Cluster.connect(ScriptedKube().kubeconfig(tmp_path))
    await cluster.close()


def test_query_strings_leave_out_what_is_empty() -> None:
    assert query_string({"a": "", "b": ""}) == ""
    assert query_string({"a": "x y&", "b": "", "c": "1"}) == "?a=x+y%26&c=1"


async def test_pages_that_are_no_objects_come_as_bytes(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("GET", "/metrics", Json(b"a_total 1\n"))
    assert await cluster.raw("/metrics") == b"a_total 1\n"


async def test_the_stores_version_is_that_of_a_list_of_one(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("VERSION", ALL, page(raw(), token="more", version="17"), page(version="not a number"))
    assert [await cluster.version(GADGETS), await cluster.version(GADGETS)] == [17, 0]
    assert {request.query["limit"] for request in kube.requests} == {"1"}

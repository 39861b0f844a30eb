import pytest

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.establishing import apply_crds, wait_established
from fleetlb.testkit.scripted_kube import Json, ScriptedKube, refusal

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def crd(name: str, **conditions: str) -> Json:
    listed = [{"type": key, "status": value} for key, value in conditions.items()]
    return Json({"metadata": {"name": name}, "status": {"conditions": listed}})


async def test_waits_until_all_are_established(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on(
        "GET",
        f"{PATH}/a",
        refusal(404),
        refusal(503),
        Json({"status": {"conditions": None}}),
        crd("a", Established="True"),
    )
    kube.on("GET", f"{PATH}/b", crd("b", NamesAccepted="True", Established="False"), crd("b", Established="True"))
    await wait_established(cluster, ["a", "b"])
    assert [len(kube.sent("GET", f"{PATH}/{name}")) for name in "ab"] == [4, 2]


async def test_names_those_that_are_late(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("GET", f"{PATH}/a", crd("a", Established="True"))
    kube.on("GET", f"{PATH}/b", crd("b", Established="False"))
    with pytest.raises(TimeoutError, match=r"^not established after 0\.1 s: b$"):
        await wait_established(cluster, ["a", "b"], 0.1)


async def test_definitions_are_applied_first(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("PATCH", f"{PATH}/a", crd("a"))
    kube.on("GET", f"{PATH}/a", crd("a", Established="True"))
    await apply_crds(cluster, [{"metadata": {"name": "a"}, "spec": {"group": "g"}}])
    assert [request.method for request in kube.requests] == ["PATCH", "GET"]
    assert kube.requests[0].body["spec"] == {"group": "g"}

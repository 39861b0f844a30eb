import pytest

from fleetlb.contracts import crds
from fleetlb.kube import fleet_objects
from fleetlb.kube.resources import Resource

RESOURCES = {r.plural: r for r in vars(fleet_objects).values() if isinstance(r, Resource)}
DEFINITIONS = {d["spec"]["names"]["plural"]: d["spec"] for d in crds.all_crds()}


def test_every_defined_kind_has_its_place() -> None:
    assert RESOURCES.keys() == DEFINITIONS.keys()


@pytest.mark.parametrize("plural", DEFINITIONS)
def test_places_agree_with_the_definitions(plural: str) -> None:
    resource, spec = RESOURCES[plural], DEFINITIONS[plural]
    assert (resource.group, resource.kind_name) == (spec["group"], spec["names"]["kind"])
    assert resource.namespaced is (spec["scope"] == "Namespaced")
    assert resource.version in {version["name"] for version in spec["versions"]}

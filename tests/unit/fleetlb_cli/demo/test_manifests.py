"""What the demonstration creates is what a user would write."""

from fleetlb_cli.demo import manifests


def test_backends_lie_in_the_tenants_own_range() -> None:
    backends = manifests.backends_of("acme", "127.10.0.0/16")
    assert [backend.address for backend in backends] == ["127.10.0.11", "127.10.0.12"]
    assert {backend.name for backend in backends} == {"acme node-1", "acme node-2"}


def test_a_class_is_set_only_where_the_fleet_has_one() -> None:
    assert "loadBalancerClass" not in manifests.service(None)["spec"]
    assert manifests.service("example.com/x")["spec"]["loadBalancerClass"] == "example.com/x"

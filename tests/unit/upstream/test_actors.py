"""What is made in a cluster so that its pods can ask."""

from tests.upstream import actors
from tests.upstream.actors import Client, Target


def test_the_backend_and_its_neighbour_are_at_home_and_one_client_is_elsewhere() -> None:
    pods = {pod["metadata"]["name"]: pod["spec"] for pod in actors.pods("agnhost:9", "here", "there")}
    assert {name: spec["nodeName"] for name, spec in pods.items()} == {
        "backend": "here",
        "neighbour": "here",
        "elsewhere": "there",
    }
    for client in Client:
        assert client in {container["name"] for container in pods[client]["containers"]}
    assert {container["image"] for spec in pods.values() for container in spec["containers"]} == {"agnhost:9"}


def test_services_differ_in_what_is_asked_about() -> None:
    made = {target: actors.service(target) for target in Target}
    assert {target: each["spec"]["externalTrafficPolicy"] for target, each in made.items()} == {
        Target.CLUSTER: "Cluster",
        Target.LOCAL: "Local",
        Target.PROXIED: "Cluster",
    }
    assert [target for target, each in made.items() if each["metadata"]["annotations"]] == [Target.PROXIED]
    ports = {target: each["spec"]["ports"][0]["targetPort"] for target, each in made.items()}
    assert ports[Target.CLUSTER] == ports[Target.LOCAL] != ports[Target.PROXIED]

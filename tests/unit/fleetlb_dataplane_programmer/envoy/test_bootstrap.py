"""What Envoy is started with; that a real Envoy accepts it is shown by the integration tests."""

import json
import pathlib

import pytest

from fleetlb_dataplane_programmer.envoy.bootstrap import bootstrap, command


def made(admin: str = "/run/fleetlb/admin") -> str:
    return json.dumps(bootstrap(node="node-1", group="edge", ads_socket=pathlib.Path("/run/fleetlb/ads"), admin=admin))


def test_it_names_the_node_and_finds_the_programmer() -> None:
    read = json.loads(made())

    assert read["node"] == {"id": "node-1", "cluster": "edge"}
    ads = read["dynamic_resources"]["ads_config"]
    assert ads["api_type"] == "DELTA_GRPC"
    [cluster] = read["static_resources"]["clusters"]
    assert ads["grpc_services"][0]["envoy_grpc"]["cluster_name"] == cluster["name"]
    [endpoint] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"] == {"pipe": {"path": "/run/fleetlb/ads"}}


def test_it_comes_back_to_a_restarted_programmer_within_a_second() -> None:
    [service] = json.loads(made())["dynamic_resources"]["ads_config"]["grpc_services"]

    assert service["envoy_grpc"]["retry_policy"]["retry_back_off"] == {"base_interval": "0.1s", "max_interval": "1s"}


def test_statistics_are_an_allow_list() -> None:
    matcher = json.loads(made())["stats_config"]["stats_matcher"]

    assert matcher["inclusion_list"]["patterns"]


@pytest.mark.parametrize(
    ("admin", "address"),
    [
        ("/run/admin", {"pipe": {"path": "/run/admin"}}),
        ("127.0.0.1:9901", {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}),
        ("[::1]:9901", {"socket_address": {"address": "::1", "port_value": 9901}}),
    ],
)
def test_the_admin_interface_is_local(admin: str, address: dict[str, object]) -> None:
    assert json.loads(made(admin))["admin"]["address"] == address


@pytest.mark.parametrize("admin", ["0.0.0.0:9901", "10.0.0.1:9901", "[::]:9901", "localhost:9901", "127.0.0.1", ""])
def test_an_admin_interface_that_others_reach_is_refused(admin: str) -> None:
    with pytest.raises(ValueError, match=r"admin address|does not appear to be"):
        made(admin)


def test_the_command_line_drains_soon_and_stays_out_of_the_way_of_others() -> None:
    line = command(pathlib.Path("/bin/envoy"), pathlib.Path("/etc/envoy.json"), concurrency=3)

    assert line[:3] == ["/bin/envoy", "--config-path", "/etc/envoy.json"]
    assert line[line.index("--concurrency") + 1] == "3"
    assert line[line.index("--drain-time-s") + 1] == "5"
    assert "--disable-hot-restart" in line

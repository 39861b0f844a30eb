"""What a fleet is planned to be."""

from contextlib import closing
from pathlib import Path

from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb_cli.local import controlplane, hosting, planning
from fleetlb_cli.local.choices import Wish
from fleetlb_cli.local.layout import Layout, Sockets
from fleetlb_cli.local.ports import Claims


def planned(wish: Wish, folder: Path) -> planning.Plan:
    control_plane = controlplane.single_binary(Path("/cp"))
    folder.mkdir(exist_ok=True)
    with closing(Claims()) as claims:
        return planning.plan(wish, Layout(folder), control_plane, {}, Sockets(folder), claims)


def test_a_cluster_elsewhere_is_asked_with_its_own_kubeconfig_and_not_started(tmp_path: Path) -> None:
    elsewhere = Path("/k/globex")
    plan = planned(Wish(attached={"globex": elsewhere}), tmp_path)
    assert set(plan.servers) == {"management", "acme"}
    assert not [name for name in plan.ports if name.endswith("/globex") and name.startswith("kube-")]
    assert plan.kubeconfig("globex") == elsewhere
    assert plan.watchers_kubeconfig("globex") == elsewhere
    assert plan.kubeconfig("acme") == plan.servers["acme"].kubeconfig
    assert plan.watchers_kubeconfig("acme") == plan.servers["acme"].folder / "fleetlb-tenant-watcher.kubeconfig"


def test_only_what_lives_here_is_made_local(tmp_path: Path) -> None:
    pool = {Family.IPV4: "10.9.0.0/24", Family.IPV6: "fd09::/112"}
    nodes = {"acme": {Family.IPV6: "fd0a::/64"}, "globex": {Family.IPV4: "10.8.0.0/24", Family.IPV6: "fd08::/64"}}
    here = Wish(pool=pool, nodes=nodes)
    assert hosting.ranges_of(planned(here, tmp_path / "here")) == ("fd09::/112", "fd0a::/64", "fd08::/64")
    attached = Wish(pool=pool, nodes=nodes, attached={"globex": Path("/k")})
    assert hosting.ranges_of(planned(attached, tmp_path / "attached")) == ("10.9.0.0/24", "fd09::/112", "fd0a::/64")
    kernel = Wish(pool=pool, nodes=nodes, attached={"globex": Path("/k")}, engine=EngineName.IPVS)
    assert hosting.ranges_of(planned(kernel, tmp_path / "kernel")) == ()


def test_replicas_are_numbered_from_two() -> None:
    assert planning.replica_names("manager", 1) == ("manager",)
    assert planning.replica_names("status", 3) == ("status", "status-2", "status-3")

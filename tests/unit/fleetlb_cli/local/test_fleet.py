"""Names and order; the starting itself is an e2e test."""

from fleetlb_cli.local import fleet


def test_nobody_loses_what_it_needs_before_it_has_ended() -> None:
    names = (
        "nats",
        "etcd",
        "kube-apiserver/acme",
        "manager-2",
        "manager",
        "tenant-watcher/acme-3",
        "envoy/node-1",
        "dataplane-programmer/node-1",
        "status",
        "kube-controller-manager/acme",
    )
    assert fleet.stop_order(names) == (
        ("manager-2", "manager", "tenant-watcher/acme-3", "status"),
        ("dataplane-programmer/node-1",),
        ("nats", "envoy/node-1", "kube-controller-manager/acme"),
        ("kube-apiserver/acme",),
    )

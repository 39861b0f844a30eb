"""Rights are few, and say what they are for with the words of the code."""

import importlib.resources
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_SECRET
from fleetlb.domain.partitions import MAX_PARTITIONS
from fleetlb.kube.holding import STATUS
from fleetlb.kube.partition_leases import lease_name
from fleetlb_cli.rights import granting

FILES = sorted(
    path.name.removesuffix(".yaml")
    for path in importlib.resources.files("fleetlb_cli.rights").iterdir()
    if path.name.endswith(".yaml")
)
SERVICES = ("manager", "status", "status-page", "tenant-watcher")


def rules(*names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        rights = granting.rights_of(name)
        yield from (*rights.cluster, *rights.namespace)


def names_of(name: str, resource: str) -> set[str]:
    return {each for rule in rules(name) if resource in rule["resources"] for each in rule.get("resourceNames", ())}


@pytest.mark.parametrize("name", FILES)
def test_nobody_may_do_everything(name: str) -> None:
    for rule in rules(name):
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
        assert "*" not in str(rule)
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_no_service_lists_secrets_or_reads_a_tenants_other_ones() -> None:
    secrets = [rule for rule in rules(*SERVICES) if "secrets" in rule["resources"]]
    assert not [rule for rule in secrets if {"list", "watch"} & set(rule["verbs"])]
    everywhere = [
        rule
        for name in SERVICES
        for rule in granting.rights_of(name).cluster
        if "secrets" in rule["resources"] and rule["verbs"] != ["create"]
    ]
    assert [rule["resourceNames"] for rule in everywhere] == [[WATCHER_CREDENTIALS_SECRET]]


def test_names_are_those_of_the_code() -> None:
    assert names_of("manager", "leases") == {lease_name(number) for number in range(MAX_PARTITIONS)}
    assert names_of("status", "leases") == {STATUS}
    assert names_of("tenant-watcher", "secrets") == {WATCHER_CREDENTIALS_SECRET}


def test_roles_and_bindings_name_the_account() -> None:
    subject = granting.account("fleetlb-x", "there")
    objects = granting.granted(granting.rights_of("status"), "role-x", subject)
    assert [(item["kind"], item["metadata"].get("namespace")) for item in objects] == [
        ("ClusterRole", None), ("ClusterRoleBinding", None), ("Role", "there"), ("RoleBinding", "there"),
    ]  # fmt: skip
    for item in objects[1::2]:
        assert item["subjects"] == [{"kind": "ServiceAccount", "name": "fleetlb-x", "namespace": "there"}]
        assert item["roleRef"]["name"] == "role-x"


def test_without_rules_there_is_no_role() -> None:
    nothing = granting.Rights(cluster=(), namespace=())
    assert granting.granted(nothing, "role-x", granting.account("x", "there")) == []


def test_a_misspelt_file_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="everywhere"):
        msgspec.convert({"everywhere": [], "cluster": [], "namespace": []}, granting.Rights)

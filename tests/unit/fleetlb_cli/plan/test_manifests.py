"""Manifests are read as they are written; what cannot be read is named by its field, never by a traceback."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb_cli.plan.manifests import read_manifests

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, ports: [{port: 80}]}
"""
POOL = """
apiVersion: fleetlb.dev/v1alpha1
kind: AddressPool
metadata: {name: public}
spec: {addresses: [192.0.2.0/24], priority: 3}
"""
OTHER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
"""


def test_services_pools_and_others_in_one_file() -> None:
    written = read_manifests("---".join((SERVICE, POOL, OTHER, "")), "shop")
    assert [each.title for each in written.services] == ["shop/web"]
    assert [(each.name, each.spec.priority) for each in written.pools] == [("public", 3)]
    assert written.others == ("Deployment web",)


def test_a_namespace_that_is_written_counts() -> None:
    assert read_manifests(SERVICE.replace("web}", "web, namespace: own}"), "shop").services[0].title == "own/web"


def test_a_list_is_its_items() -> None:
    items = "".join(f"- {line}\n" for line in ("{apiVersion: v1, kind: Service, metadata: {name: a}}",))
    written = read_manifests(f"apiVersion: v1\nkind: List\nitems:\n{items}", "shop")
    assert [each.title for each in written.services] == ["shop/a"]


def test_node_ports_are_allocated_unless_it_says_otherwise() -> None:
    no = SERVICE.replace("ports:", "allocateLoadBalancerNodePorts: false, ports:")
    assert [read_manifests(text, "n").services[0].allocates_node_ports for text in (SERVICE, no)] == [True, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "this is no YAML"),
        ("", "there is no v1 Service and no fleetlb.dev/v1alpha1 AddressPool in it"),
        (OTHER, "in it, only Deployment web"),
        ("just words", "the manifest: a mapping with apiVersion"),
        (SERVICE + "---\n- 1\n", "document 2: a mapping"),
        ("kind: List\nitems: [1]", "items[0] is no object"),
        (SERVICE.replace("{name: web}", "{}"), "metadata.name: missing"),
        (SERVICE.replace("{name: web}", "web"), "metadata.name: missing"),
        (SERVICE.replace("80", "eighty"), "spec.ports[0].port: expected `int`, got `str`"),
        (SERVICE.replace("[{port: 80}]", "80"), "spec.ports: expected `array"),
        (POOL.replace("priority: 3", "prioritty: 3"), "spec.prioritty: there is no such field; there are addresses,"),
        (POOL.replace("priority: 3", "selector: {tenant: a}"), "spec.selector.tenant: there is no such field"),
        (POOL.replace("priority: 3", "priority: high"), "spec.priority: expected `int`, got `str`"),
        (POOL.replace("[192.0.2.0/24]", "[]"), "spec.addresses: expected `array` of length >= 1"),
        (POOL.replace("addresses: [192.0.2.0/24], ", ""), "missing required field `addresses`"),
        (POOL.replace("public", "Public"), "metadata.name: 'Public' can name no AddressPool"),
        (POOL.replace("spec:", "specs:"), "spec: missing"),
        (POOL.replace("v1alpha1", "v2"), "in it, only AddressPool public"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_manifests(text, "shop")


ODD = st.sampled_from(["metadata: 1", "spec: [", "{}", "~", "? a", "&a [*a]", "!!python/object:x y"])


@given(st.text(max_size=80) | ODD)
def test_whatever_is_in_a_file_the_answer_is_a_sentence(text: str) -> None:
    of_a_service = f"apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {text}"
    for manifest in (text, of_a_service, f"{SERVICE}---\n{text}"):
        with contextlib.suppress(ValueError):
            read_manifests(manifest, "shop")

from typing import Any

import msgspec
import pytest

from fleetlb.domain.pool_selectors import PoolSelector, admits, misfit
from fleetlb.domain.services import ServicePort, TenantService

LABELS = {"fleetlb.dev/tier": "gold", "fleetlb.dev/zone": "a"}


def a_service(**given: Any) -> TenantService:
    return TenantService(namespace="shop", name="web", ports=(ServicePort(port=443),), **given)


@pytest.mark.parametrize(
    ("selector", "left_out"),
    [
        (PoolSelector(), ""),
        (PoolSelector(namespaces=("shop",)), ""),
        (PoolSelector(namespaces=("bank", "shop"), service_labels={"fleetlb.dev/tier": "gold"}), ""),
        (PoolSelector(service_labels=LABELS), ""),
        (PoolSelector(namespaces=("sho", "shop-2")), "Services of namespace 'shop'"),
        (PoolSelector(service_labels=LABELS | {"fleetlb.dev/x": ""}), "Services with the labels of this one"),
        (PoolSelector(service_labels={"fleetlb.dev/tier": "Gold"}), "Services with the labels of this one"),
        (PoolSelector(namespaces=("bank",), service_labels={"a": "b"}), "Services of namespace 'shop'"),
    ],
    ids=str,
)
def test_every_part_that_is_not_empty_must_fit(selector: PoolSelector, left_out: str) -> None:
    assert misfit(selector, a_service(labels=LABELS)) == left_out


def test_a_service_without_labels_fits_where_none_are_asked_for() -> None:
    assert misfit(PoolSelector(), a_service()) == ""
    assert misfit(PoolSelector(service_labels={"a": ""}), a_service()) != ""


@pytest.mark.parametrize(("tenants", "expected"), [((), True), (("zeta", "acme"), True), (("acm", "acme-2"), False)])
def test_tenants_are_admitted_by_name(tenants: tuple[str, ...], expected: bool) -> None:
    assert admits(PoolSelector(tenants=tenants), "acme") is expected


def test_a_selector_reads_as_people_write_it() -> None:
    read = msgspec.json.decode(b'{"tenants":["acme"],"serviceLabels":{"a":"b"}}', type=PoolSelector)
    assert read == PoolSelector(tenants=("acme",), service_labels={"a": "b"})
    assert msgspec.json.encode(PoolSelector()) == b"{}"

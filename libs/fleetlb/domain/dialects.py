"""How other products spell what our annotations say: for tenants who come from them. Pure; off unless switched on.

An annotation of ours on the same Service wins. What has no counterpart here is somebody else's and left alone.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleetlb.domain.annotations import Annotation
from fleetlb.domain.conditions import Reason, Refusal


class Dialect(enum.StrEnum):
    """Whose annotations are read."""

    METALLB = "metallb"
    CILIUM = "cilium"
    KUBE_VIP = "kube-vip"
    KUBELB = "kubelb"


SPELLINGS: Mapping[Dialect, Mapping[str, Annotation]] = {
    Dialect.METALLB: {
        "metallb.io/loadBalancerIPs": Annotation.ADDRESSES,
        "metallb.universe.tf/loadBalancerIPs": Annotation.ADDRESSES,
        "metallb.io/address-pool": Annotation.POOL,
        "metallb.universe.tf/address-pool": Annotation.POOL,
        "metallb.io/allow-shared-ip": Annotation.SHARING_KEY,
        "metallb.universe.tf/allow-shared-ip": Annotation.SHARING_KEY,
    },
    Dialect.CILIUM: {
        "lbipam.cilium.io/ips": Annotation.ADDRESSES,
        "io.cilium/lb-ipam-ips": Annotation.ADDRESSES,
        "lbipam.cilium.io/sharing-key": Annotation.SHARING_KEY,
        "io.cilium/lb-ipam-sharing-key": Annotation.SHARING_KEY,
    },
    Dialect.KUBE_VIP: {"kube-vip.io/loadbalancerIPs": Annotation.ADDRESSES},
    Dialect.KUBELB: {"kubelb.k8c.io/proxy-protocol": Annotation.PROXY_PROTOCOL},
}
"""After the documentation of MetalLB 0.15, Cilium 1.18, kube-vip 1.0 and KubeLB 1.3, and the older spellings that they
still read."""


class Translated(NamedTuple):
    """A Service's annotations with ours added, and how the tenant had spelled those."""

    annotations: Mapping[str, str]
    spelled: Mapping[str, str]


def translate(annotations: Mapping[str, str], dialects: Iterable[Dialect]) -> Translated | Refusal:
    """Read other products' spellings; two of them that contradict each other are refused."""
    found: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for dialect in dialects:
        for foreign, ours in SPELLINGS[dialect].items():
            text = annotations.get(foreign, "").strip()
            if not text or ours in annotations:
                continue
            if found.setdefault(ours, text) != text:
                message = f"annotations {spelled[ours]} and {foreign} differ; set {ours} instead, or remove one of them"
                return Refusal(Reason.INVALID, message)
            spelled.setdefault(ours, foreign)
    return Translated({**annotations, **found}, spelled) if found else Translated(annotations, {})

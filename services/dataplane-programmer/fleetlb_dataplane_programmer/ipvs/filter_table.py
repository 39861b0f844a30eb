"""The nftables table of a balancer node without its elements, in nft's JSON: the form it is written and read back in.

    pools4, pools6          the networks of our VIPs
    guarded4, guarded6      what is not open to everybody: VIP, protocol, port
    admitted_<protocol>4/6  who may go there all the same: VIP, port, network of clients
    source_ranges           before IPVS takes a packet: what is guarded goes to `admission`
    admission               admitted, or counted and dropped
    return_path             what IPVS sends to real servers leaves with this node's address, so that answers come back

Must not know which elements are wanted.
"""

from typing import Any

FAMILY, TABLE = "inet", "fleetlb"
PROTOCOLS = ("tcp", "udp", "sctp")
JsonObject = dict[str, Any]

_ADDRESS_TYPES = {"4": "ipv4_addr", "6": "ipv6_addr"}
_HEADERS = {"4": "ip", "6": "ip6"}
_FILTER_PRIORITY, _SOURCE_NAT_PRIORITY = 0, 100


def named(kind: str, **attributes: Any) -> JsonObject:
    """An object of our table, `{"set": {"family": "inet", "table": "fleetlb", …}}`."""
    owner = {"family": FAMILY} if kind == "table" else {"family": FAMILY, "table": TABLE}
    return {kind: owner | attributes}


def shape() -> list[JsonObject]:
    """Every object of the table but elements, in the order in which they can be added."""
    objects = [named("table", name=TABLE), named("counter", name="refused")]
    for suffix, address in _ADDRESS_TYPES.items():
        objects.append(named("set", name=f"pools{suffix}", type=address, flags=["interval"]))
        objects.append(named("set", name=f"guarded{suffix}", type=[address, "inet_proto", "inet_service"]))
        objects += [
            # One for each protocol: nft 1.0.6 cannot look up a protocol in a set that holds intervals too.
            named(
                "set", name=f"admitted_{protocol}{suffix}", type=[address, "inet_service", address], flags=["interval"]
            )
            for protocol in PROTOCOLS
        ]
    objects += [
        # Where IPVS takes packets too, at priority 98, after any address translation of others.
        named("chain", name="source_ranges", type="filter", hook="input", prio=_FILTER_PRIORITY, policy="accept"),
        named("chain", name="admission"),
        named("chain", name="return_path", type="nat", hook="postrouting", prio=_SOURCE_NAT_PRIORITY, policy="accept"),
    ]
    for suffix in _ADDRESS_TYPES:
        objects += _rules(suffix)
    objects.append(_rule("admission", {"counter": "refused"}, {"drop": None}))
    return objects


def _rules(suffix: str) -> list[JsonObject]:
    header = _HEADERS[suffix]
    client, vip, protocol = _field(header, "saddr"), _field(header, "daddr"), {"meta": {"key": "l4proto"}}
    guarded = _match({"concat": [vip, protocol, _field("th", "dport")]}, f"guarded{suffix}")
    rules = [_rule("source_ranges", guarded, {"goto": {"target": "admission"}})]
    for name in PROTOCOLS:
        admitted = _match({"concat": [vip, _field(name, "dport"), client]}, f"admitted_{name}{suffix}")
        rules.append(_rule("admission", admitted, {"accept": None}))
    dialled_vip = _match({"ct": {"key": f"{header} daddr", "dir": "original"}}, f"pools{suffix}")
    # With direct routing and on the way into a tunnel the packet keeps its VIP and its client.
    was_translated = _match(vip, f"pools{suffix}", "!=")
    # Random ports: two packets that choose the same one at the same moment would cost one of them.
    masquerade = {"masquerade": {"flags": "fully-random"}}
    rules.append(_rule("return_path", dialled_vip, was_translated, masquerade))
    return rules


def _rule(chain: str, *expressions: JsonObject) -> JsonObject:
    return named("rule", chain=chain, expr=list(expressions))


def _field(protocol: str, field: str) -> JsonObject:
    return {"payload": {"protocol": protocol, "field": field}}


def _match(left: JsonObject, name: str, operator: str = "==") -> JsonObject:
    return {"match": {"op": operator, "left": left, "right": f"@{name}"}}

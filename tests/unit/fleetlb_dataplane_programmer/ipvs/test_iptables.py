"""The text that is given to iptables-restore, and the one that is read from iptables-save."""

import pytest

from fleetlb_dataplane_programmer.ipvs.iptables import read_chain, render_chain

SAVED = """*nat
:POSTROUTING ACCEPT [0:0]
:FLEETLB-POSTROUTING - [0:0]
-A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
-A POSTROUTING -j FLEETLB-POSTROUTING
-A FLEETLB-POSTROUTING -m ipvs --vaddr 10.77.0.0/16 --vmethod MASQ -j MASQUERADE --random-fully
-A FLEETLB-POSTROUTING -m ipvs --vaddr 10.78.0.1/32 --vmethod MASQ -j MASQUERADE --random-fully
COMMIT
"""
NETWORKS = frozenset({"10.77.0.0/16", "10.78.0.1/32"})


def test_the_chain_is_replaced_in_one_transaction() -> None:
    assert render_chain(["10.77.0.0/16"], jump=True) == (
        "*nat\n"
        ":FLEETLB-POSTROUTING - [0:0]\n"
        "-A FLEETLB-POSTROUTING -m ipvs --ipvs --vaddr 10.77.0.0/16 --vmethod MASQ -j MASQUERADE --random-fully\n"
        "-A POSTROUTING -j FLEETLB-POSTROUTING\n"
        "COMMIT\n"
    )
    assert render_chain([], jump=False) == "*nat\n:FLEETLB-POSTROUTING - [0:0]\nCOMMIT\n"


@pytest.mark.parametrize("text", ["10.0.0.0/8 -j ACCEPT", "10.0.0.0/8\n-A INPUT -j DROP", "", "!10.0.0.0/8"])
def test_nothing_but_networks_gets_into_it(text: str) -> None:
    with pytest.raises(ValueError, match="is not a CIDR"):
        render_chain([text], jump=False)


def test_what_is_saved_is_read_back() -> None:
    assert read_chain(SAVED) == (NETWORKS, True)
    assert read_chain("") == (frozenset(), False)
    assert read_chain(SAVED.replace("-A POSTROUTING -j FLEETLB-POSTROUTING\n", "")) == (NETWORKS, False)


@pytest.mark.parametrize(
    "rule", ["-j ACCEPT", "-s 192.0.2.0/24 -j MASQUERADE", "-m ipvs --vaddr 10.77.0.0/16 -j RETURN"]
)
def test_a_foreign_rule_in_our_chain_shows(rule: str) -> None:
    networks, _ = read_chain(SAVED.replace("COMMIT", f"-A FLEETLB-POSTROUTING {rule}\nCOMMIT"))
    assert networks != NETWORKS


def test_a_rule_that_stands_there_twice_shows() -> None:
    networks, _ = read_chain(SAVED.replace("COMMIT", SAVED.splitlines()[5] + "\nCOMMIT"))
    assert networks != NETWORKS

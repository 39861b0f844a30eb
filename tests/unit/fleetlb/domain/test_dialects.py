import itertools
from pathlib import Path

import pytest

from fleetlb.domain.annotations import Annotation, Asked, parse_annotations
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.dialects import SPELLINGS, Dialect, translate

EVERY = [(dialect, foreign, ours) for dialect, names in SPELLINGS.items() for foreign, ours in names.items()]
VALUES = {
    Annotation.ADDRESSES: ("192.0.2.9", Asked(addresses=("192.0.2.9",))),
    Annotation.POOL: ("gold", Asked(pool="gold")),
    Annotation.SHARING_KEY: ("web", Asked(sharing_key="web")),
    Annotation.PROXY_PROTOCOL: ("v2", Asked(proxy_protocol=True)),
}


def read(annotations: dict[str, str], *dialects: Dialect) -> Asked | Refusal:
    translated = translate(annotations, dialects)
    return translated if isinstance(translated, Refusal) else parse_annotations(*translated)


@pytest.mark.parametrize(("dialect", "foreign", "ours"), EVERY)
def test_a_spelling_counts_only_where_its_dialect_is_switched_on(
    dialect: Dialect, foreign: str, ours: Annotation
) -> None:
    text, expected = VALUES[ours]
    assert read({foreign: text}, dialect) == expected
    assert read({foreign: "\x00"}) == Asked()
    assert read({foreign: "\x00"}, *(set(Dialect) - {dialect})) == Asked()


def test_every_spelling_is_documented() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "service-support.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for _, foreign, ours in EVERY:
        assert [row for row in rows if f"`{foreign}`" in row and f"`{ours}`" in row] != [], foreign


def test_every_product_is_known_and_no_spelling_is_claimed_twice() -> None:
    assert set(SPELLINGS) == set(Dialect)
    foreign = list(itertools.chain.from_iterable(SPELLINGS.values()))
    assert len(foreign) == len(set(foreign))


def test_ours_wins_and_an_empty_one_asks_for_nothing() -> None:
    theirs = {"metallb.io/address-pool": "Silver, Gold"}
    assert read({**theirs, "fleetlb.dev/pool": "gold"}, Dialect.METALLB) == Asked(pool="gold")
    assert read({"metallb.io/address-pool": "  "}, Dialect.METALLB) == Asked()


def test_two_that_say_the_same_are_one_and_two_that_differ_are_refused() -> None:
    same = {"metallb.io/loadBalancerIPs": "192.0.2.9", "kube-vip.io/loadbalancerIPs": " 192.0.2.9"}
    assert read(same, *Dialect) == Asked(addresses=("192.0.2.9",))
    answer = read({**same, "lbipam.cilium.io/ips": "192.0.2.8"}, *Dialect)
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.INVALID
    for word in ("metallb.io/loadBalancerIPs", "lbipam.cilium.io/ips", "set fleetlb.dev/addresses instead"):
        assert word in answer.message


def test_what_others_wrote_stays_to_be_read() -> None:
    translated = translate({"a": "1", "metallb.io/address-pool": "gold"}, [Dialect.METALLB])
    assert not isinstance(translated, Refusal)
    assert translated.annotations["a"] == "1"

"""Ranges, ports and tokens: free ones for what is new, the same ones for what was there."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb_cli.local import choices
from fleetlb_cli.local.choices import Choices, OtherEngineError, RangeTakenError, Wish, WishError

IPVS = EngineName.IPVS


class Desk:
    """Claims of one fleet on a machine where `others` are taken."""

    def __init__(self, *others: str) -> None:
        self.others = set(others)
        self.mine: set[str] = set()
        self._next_port = 20000

    def take(self, name: str) -> bool:
        if name in self.others:
            return False
        self.mine.add(name)
        return True

    def take_first(self, kind: str, candidates: Iterable[int]) -> int | None:
        for number in candidates:
            name = f"{kind}/{number}"
            if name not in self.mine and self.take(name):
                return number
        return None

    def take_port(self) -> int:
        self._next_port += 1
        return self._next_port


def cidrs(*given: str) -> dict[Family, str]:
    return choices.by_family("--pool-cidr", given)


def problems(wish: Wish) -> str:
    with pytest.raises(WishError) as caught:
        choices.check(wish)
    return str(caught.value)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(tenants=()), "at least one name"),
        (Wish(tenants=("Acme",)), "'Acme' is not a DNS label"),
        (Wish(tenants=("-a",)), "'-a' is not a DNS label"),
        (Wish(tenants=("a" * 41,)), "longer than 40"),
        (Wish(tenants=("a", "a")), "given twice"),
        (Wish(tenants=("management",)), "management cluster"),
        (Wish(replicas=0), "--replicas 0"),
        (Wish(partitions=0), "--partitions 0: from 1 to 64"),
        (Wish(partitions=65), "--partitions 65"),
        (Wish(forwarding=Forwarding.DIRECT), "--forwarding direct needs --engine ipvs"),
        (Wish(pool=cidrs("10.0.0.1/8")), "--pool-cidr: 10.0.0.1/8 has host bits set"),
        (Wish(pool=cidrs("fd00::1/64")), "--pool-cidr: fd00::1/64 has host bits set"),
        (Wish(pool=cidrs("127.0.0.0/24")), "overlaps 127.0.0.0/16"),
        (Wish(pool=cidrs("127.9.0.0/24"), engine=IPVS), "--pool-cidr: 127.9.0.0/24 is on the loopback"),
        (Wish(nodes={"acme": cidrs("::1/128")}, engine=IPVS), "--node-cidr acme: ::1/128 is on the loopback"),
        (Wish(pods={"nobody": ("10.9.0.0/16",)}), "--pod-cidr nobody: not one of the tenants acme, globex"),
        (Wish(pods={"acme": ("10.9.0.0/16", "pods")}), "--pod-cidr acme: 'pods' does not appear"),
        (Wish(nodes={"nobody": cidrs("127.9.0.0/16")}), "--node-cidr nobody: not one of the tenants acme, globex"),
        (
            Wish(nodes={"acme": cidrs("127.9.0.0/16"), "globex": cidrs("127.9.1.0/24")}),
            "--node-cidr acme overlaps --node-cidr globex",
        ),
        (
            Wish(nodes={"acme": cidrs("10.9.0.0/16", "fd09::/32")}, pool=cidrs("10.10.0.0/16", "fd09:0:1::/48")),
            "--node-cidr acme overlaps --pool-cidr",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_option_named(wish: Wish, words: str) -> None:
    assert words in problems(wish)


def test_a_cluster_elsewhere_has_its_own_ranges_and_a_kubeconfig(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    told = problems(Wish(attached={"acme": kubeconfig, "nobody": kubeconfig}))
    assert "--attach needs --pool-cidr CIDR" in told
    assert "--attach acme needs --node-cidr acme=CIDR" in told
    assert f"--attach acme: there is no kubeconfig {kubeconfig}" in told
    assert "--attach nobody: not one of the tenants acme, globex" in told
    kubeconfig.touch()
    choices.check(Wish(attached={"acme": kubeconfig}, pool=cidrs("10.9.0.0/24"), nodes={"acme": cidrs("10.8.0.0/24")}))


def test_all_problems_are_told_together() -> None:
    text = problems(Wish(tenants=("A",), replicas=0, pool=cidrs("x")))
    assert text.count("\n") == 2


def test_the_default_wish_is_possible() -> None:
    choices.check(Wish())


def test_new_ranges_are_distinct_and_never_where_servers_listen() -> None:
    chosen = choices.choose(Wish(), None, Desk())
    assert chosen.pool.cidr == "127.77.0.0/20"
    assert [ranges.cidr for ranges in chosen.tenants.values()] == ["127.10.0.0/16", "127.11.0.0/16"]


def test_ranges_of_other_fleets_are_left_alone() -> None:
    chosen = choices.choose(Wish(tenants=("acme",)), None, Desk("octet/10", "octet/77"))
    assert (chosen.pool.cidr, chosen.tenants["acme"].cidr) == ("127.78.0.0/20", "127.11.0.0/16")


def test_what_the_user_gives_is_taken_and_not_chosen_again() -> None:
    wish = Wish(pool=cidrs("127.10.0.0/24"), nodes={"globex": cidrs("127.11.0.0/16")})
    chosen = choices.choose(wish, None, Desk())
    assert chosen.pool.cidr == "127.10.0.0/24"
    assert chosen.tenants["globex"].cidr == "127.11.0.0/16"
    assert chosen.tenants["acme"].cidr == "127.12.0.0/16"


def test_the_same_folder_gets_the_same_again() -> None:
    first = choices.choose(Wish(), None, Desk())
    first.tokens["acme"] = "kept"
    again = choices.choose(Wish(), msgspec.json.decode(msgspec.json.encode(first), type=Choices), Desk())
    assert again == first


def test_a_tenant_that_is_not_served_now_keeps_its_range_for_later() -> None:
    first = choices.choose(Wish(), None, Desk())
    second = choices.choose(Wish(tenants=("initech",)), first, Desk("octet/10", "octet/11"))
    third = choices.choose(Wish(), second, Desk())
    assert third.tenants["acme"] == first.tenants["acme"]


def test_a_range_in_use_elsewhere_stops_the_start() -> None:
    first = choices.choose(Wish(), None, Desk())
    with pytest.raises(RangeTakenError, match=r"127\.77\.0\.0/20 is in use by another running fleet"):
        choices.choose(Wish(), first, Desk("octet/77"))


def test_ipv6_ranges_come_and_go_with_the_option() -> None:
    with_ipv6 = choices.choose(Wish(tenants=("acme",), ipv6=True), None, Desk())
    assert with_ipv6.pool.cidr6 == "fd7f:f1ee:7b:4d::/112"
    assert with_ipv6.tenants["acme"].cidr6 == "fd7f:f1ee:7b:a::/64"
    without = choices.choose(Wish(tenants=("acme",)), with_ipv6, Desk())
    assert without.pool.cidr6 is None
    assert without.tenants["acme"].cidr6 is None


def test_a_given_range_gets_an_ipv6_range_of_its_own() -> None:
    chosen = choices.choose(Wish(tenants=("acme",), pool=cidrs("10.9.0.0/24"), ipv6=True), None, Desk())
    assert chosen.pool.cidr == "10.9.0.0/24"
    assert chosen.pool.cidr6 == "fd7f:f1ee:7b:4d::/112"


def test_one_ipv6_range_of_the_users_gives_everybody_one() -> None:
    wish = Wish(tenants=("acme",), nodes={"acme": cidrs("127.9.0.0/16", "fd09::/64")})
    chosen = choices.choose(wish, None, Desk())
    assert chosen.tenants["acme"] == choices.Ranges(cidr="127.9.0.0/16", cidr6="fd09::/64")
    assert chosen.pool.cidr6 == "fd7f:f1ee:7b:4d::/112"
    again = choices.choose(Wish(tenants=("acme",), ipv6=True), chosen, Desk())
    assert again == chosen


def test_two_ranges_of_one_family_are_one_too_many() -> None:
    with pytest.raises(WishError, match=r"--pool-cidr: fd01::/64 and fd02::/64 are both IPv6"):
        cidrs("fd01::/64", "10.0.0.0/8", "fd02::/64")


def test_free_ranges_for_the_kernel_are_not_on_the_loopback() -> None:
    chosen = choices.choose(Wish(engine=IPVS), None, Desk("octet/10"))
    assert chosen.pool.cidr == "198.18.77.0/24"
    assert [ranges.cidr for ranges in chosen.tenants.values()] == ["198.19.11.0/24", "198.19.12.0/24"]


def test_a_folder_keeps_its_engine() -> None:
    first = choices.choose(Wish(engine=IPVS), None, Desk())
    with pytest.raises(OtherEngineError, match="holds a fleet with --engine ipvs"):
        choices.choose(Wish(), first, Desk())
    assert choices.choose(Wish(engine=IPVS), first, Desk()).pool == first.pool


def test_a_port_is_kept_while_it_can_be_had() -> None:
    chosen = Choices(pool=choices.Ranges(cidr="127.77.0.0/20"), tenants={})
    first = choices.port(chosen, "nats", Desk())
    assert choices.port(chosen, "nats", Desk()) == first
    desk = Desk(f"port/{first}")
    desk.take_port()
    assert choices.port(chosen, "nats", desk) != first


def test_a_token_is_made_once() -> None:
    chosen = Choices(pool=choices.Ranges(cidr="127.77.0.0/20"), tenants={})
    token = choices.token(chosen, "acme")
    assert len(token) > 30
    assert choices.token(chosen, "acme") == token
    assert choices.token(chosen, "globex") != token

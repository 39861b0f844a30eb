"""Which switches are wrong, how that is said, and which of them are turned."""

from pathlib import Path

import pytest

from fleetlb_dataplane_programmer.ipvs.sysctls import (
    REPAIRS,
    SWITCHES,
    Severity,
    Switch,
    Sysctls,
    devices_of_advertised_routes,
    judge,
)

RIGHT: dict[str, str | None] = {each.name: each.wanted for each in SWITCHES}
ADVERTISED = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00450003     eth0\n"
STATIC = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth0\n"


def laid_out(proc: Path, values: dict[str, str | None]) -> Path:
    for name, value in values.items():
        file = proc / "sys" / name.replace(".", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        if value is not None:
            file.write_text(f"{value}\n")
    return proc


def said(proc: Path) -> dict[str, str | None]:
    files = {name: proc / "sys" / name.replace(".", "/") for name in RIGHT}
    return {name: file.read_text().strip() if file.exists() else None for name, file in files.items()}


def test_all_right_is_no_finding() -> None:
    assert judge(RIGHT) == []


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: switch.name)
def test_each_wrong_switch_is_named_with_its_cure(switch: Switch) -> None:
    (finding,) = judge(RIGHT | {switch.name: "7"})
    assert str(finding) == f"{switch.name} is 7: {switch.why}; set {switch.name}={switch.wanted}"


def test_a_kernel_without_the_switch_is_named_so() -> None:
    (finding,) = judge({name: value for name, value in RIGHT.items() if name != "net.ipv4.vs.conntrack"})
    assert finding.severity is Severity.REQUIRED
    assert str(finding) == (
        "net.ipv4.vs.conntrack is missing: answers of masqueraded connections cannot come back; load the kernel"
        " module ip_vs, or use a kernel whose IPVS has this switch"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.vs.conn_reuse_mode", "2")]
)
def test_another_value_may_be_as_right(name: str, value: str) -> None:
    assert judge(RIGHT | {name: value}) == []


def test_what_is_ours_is_turned_and_counted_and_the_rest_only_said(tmp_path: Path) -> None:
    wrong: dict[str, str | None] = dict.fromkeys(RIGHT, "0")
    switches = Sysctls(manage=True, proc=laid_out(tmp_path, wrong | {"net.ipv4.conf.all.rp_filter": "1"}))
    switches.start()
    assert said(tmp_path) == RIGHT | {"net.ipv4.conf.all.rp_filter": "1"}
    assert [finding.name for finding in switches.findings()] == ["net.ipv4.conf.all.rp_filter"]
    before = REPAIRS._value.get()
    assert switches.audit() == 0
    laid_out(tmp_path, {"net.ipv4.vs.conntrack": "0", "net.ipv4.ip_forward": "0"})  # somebody else
    assert switches.audit() == 2
    assert said(tmp_path)["net.ipv4.vs.conntrack"] == "1"
    assert REPAIRS._value.get() == before + 2


def test_nothing_is_turned_that_is_not_to_be_managed(tmp_path: Path) -> None:
    wrong: dict[str, str | None] = dict.fromkeys(RIGHT, "0") | {"net.ipv4.vs.conn_reuse_mode": None}
    switches = Sysctls(manage=False, proc=laid_out(tmp_path, wrong))
    switches.start()
    assert switches.audit() == 0
    assert said(tmp_path) == wrong
    assert len(switches.findings()) == len(SWITCHES) - 1  # rp_filter may be 0


def test_a_switch_that_cannot_be_turned_is_a_finding(tmp_path: Path) -> None:
    switches = Sysctls(manage=True, proc=laid_out(tmp_path, RIGHT | {"net.ipv4.vs.conntrack": None}))
    (tmp_path / "sys/net/ipv4/ip_forward").unlink()
    (tmp_path / "sys/net/ipv4/ip_forward").mkdir()  # reads and writes fail
    assert switches.audit() == 0
    assert [finding.name for finding in switches.findings()] == ["net.ipv4.ip_forward", "net.ipv4.vs.conntrack"]


@pytest.mark.parametrize(
    ("routes", "accept_ra", "is_turned"),
    [(ADVERTISED, "1", False), (ADVERTISED, "2", True), (ADVERTISED, "0", True), (STATIC, "1", True), ("", "1", True)],
)
def test_forwarding_is_not_turned_on_where_that_costs_the_default_route(
    tmp_path: Path, routes: str, accept_ra: str, is_turned: bool
) -> None:
    proc = laid_out(tmp_path, RIGHT | {"net.ipv6.conf.all.forwarding": "0", "net.ipv6.conf.eth0.accept_ra": accept_ra})
    (proc / "thread-self/net").mkdir(parents=True)
    (proc / "thread-self/net/ipv6_route").write_text(routes)
    switches = Sysctls(manage=True, proc=proc)
    switches.start()
    assert (said(proc)["net.ipv6.conf.all.forwarding"] == "1") is is_turned
    assert ["accept_ra=2" in str(finding) for finding in switches.findings()] == ([] if is_turned else [True])


def test_devices_of_advertised_routes_are_read_off_the_kernels_table() -> None:
    assert devices_of_advertised_routes(STATIC + ADVERTISED + "short line\n") == {"eth0"}

"""Which switches of an interface are wrong, how that is said, and which of them are turned."""

from pathlib import Path

import pytest

from fleetlb_dataplane_programmer.ipvs.sysctls import REPAIRS, Severity
from fleetlb_dataplane_programmer.layer2.switches import LinkSwitches, judge

IGNORE, ANNOUNCE = "arp_ignore", "arp_announce"


def laid_out(proc: Path, interface: str, **values: str) -> Path:
    """`all__arp_ignore` for all, other names for the interface."""
    for name, value in values.items():
        place, name = ("all", name[5:]) if name.startswith("all__") else (interface, name)
        folder = proc / "sys/net/ipv4/conf" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{value}\n")
    return proc


def said(proc: Path, interface: str) -> tuple[str, str]:
    folder = proc / "sys/net/ipv4/conf" / interface
    return (folder / IGNORE).read_text().strip(), (folder / ANNOUNCE).read_text().strip()


def test_what_is_wrong_is_named_with_its_cure() -> None:
    findings = judge("eth0", {("all", IGNORE): "0", ("eth0", IGNORE): "0", ("eth0", ANNOUNCE): "1"})
    assert [finding.severity for finding in findings] == [Severity.REQUIRED, Severity.ADVISED]
    assert str(findings[0]) == (
        "net.ipv4.conf.eth0.arp_ignore is 0: this node answers ARP for VIPs of other nodes;"
        " set net.ipv4.conf.eth0.arp_ignore=1"
    )
    assert str(findings[1]).startswith("net.ipv4.conf.eth0.arp_announce is 1: ")


@pytest.mark.parametrize(("everywhere", "here"), [("1", "0"), ("0", "1"), ("0", "2"), ("3", "0"), ("0", "8")])
def test_the_greater_of_the_two_counts(everywhere: str, here: str) -> None:
    actual = {("all", IGNORE): everywhere, ("eth0", IGNORE): here, ("all", ANNOUNCE): "2", ("eth0", ANNOUNCE): "0"}
    assert judge("eth0", actual) == []


@pytest.mark.parametrize("value", ["0", "4", "7", "9", "nonsense", None])
def test_a_value_with_which_the_kernel_answers_is_wrong(value: str | None) -> None:
    (finding,) = judge("eth0", {("eth0", IGNORE): value, ("eth0", ANNOUNCE): "2"})
    assert finding.actual == value


@pytest.mark.parametrize("interface", ["eth0", "bond0.100"])
def test_what_is_wrong_is_turned_on_the_interface_alone_and_counted(tmp_path: Path, interface: str) -> None:
    wrong = {IGNORE: "0", ANNOUNCE: "0"}
    proc = laid_out(tmp_path, interface, all__arp_ignore="0", all__arp_announce="0", **wrong)
    switches = LinkSwitches(interface, manage=True, proc=proc)
    switches.start()
    assert said(proc, interface) == ("1", "2")
    assert said(proc, "all") == ("0", "0")
    assert switches.findings() == []
    before = REPAIRS._value.get()
    assert switches.audit() == 0
    laid_out(proc, interface, **wrong)  # somebody else, or the interface was made anew
    assert switches.audit() == 2
    assert REPAIRS._value.get() == before + 2


def test_a_dot_in_the_name_of_an_interface_is_spelled_as_sysctl_wants_it(tmp_path: Path) -> None:
    proc = laid_out(tmp_path, "bond0.100", arp_ignore="0", arp_announce="2")
    (finding,) = LinkSwitches("bond0.100", manage=False, proc=proc).findings()
    assert finding.name == "net.ipv4.conf.bond0/100.arp_ignore"


def test_nothing_is_turned_that_is_not_to_be_managed(tmp_path: Path) -> None:
    proc = laid_out(tmp_path, "eth0", arp_ignore="0", arp_announce="0")
    switches = LinkSwitches("eth0", manage=False, proc=proc)
    switches.start()
    assert switches.audit() == 0
    assert said(proc, "eth0") == ("0", "0")
    assert len(switches.findings()) == 2


def test_what_cannot_be_helped_here_is_not_taken_for_done(tmp_path: Path) -> None:
    """With 4 for all, the kernel answers whatever the interface says; and all is for all."""
    proc = laid_out(tmp_path, "eth0", all__arp_ignore="4", arp_ignore="0", arp_announce="2")
    switches = LinkSwitches("eth0", manage=True, proc=proc)
    assert switches.audit() == 0
    assert [(finding.name, finding.actual) for finding in switches.findings()] == [
        ("net.ipv4.conf.all.arp_ignore", "4")
    ]
    assert said(proc, "eth0") == ("0", "2")
    assert (proc / "sys/net/ipv4/conf/all/arp_ignore").read_text() == "4\n"


def test_an_interface_that_is_not_there_has_no_findings(tmp_path: Path) -> None:
    proc = laid_out(tmp_path, "eth0", arp_ignore="0", all__arp_ignore="0")
    assert LinkSwitches("eth1", manage=True, proc=proc).findings() == []

import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.contracts import subjects
from fleetlb.contracts.subjects import ObservedSubject
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.errors import Poison
from fleetlb.domain.virtual_servers import VirtualServerKey

ACCOUNT = "ACBSN7N3YFQ5JDHF5SGR5QAAQ3VQ7UPDQVXDAGMAX3D5FWSJQ5XJZABC"
CLUSTER = "0d5d8d1c-6e0e-4c3c-9a55-1f6f9a3c2b11"
UID = "7b0c1d7e-3f14-4a5f-8e0f-5f2e8a4d9c02"
KEY = VirtualServerKey("192.0.2.7", 443, Protocol.TCP)
KEY6 = VirtualServerKey("2001:db8::7", 53, Protocol.UDP)

HOSTILE_TOKENS = [
    "",
    "*",
    ">",
    " ",
    "a b",
    "a\tb",
    "a\n",
    "\na",
    "a\r\nPUB x 1",
    "a\x00",
    "$JS",
    "$SYS",
    "a/b",
    "a:b",
    "%2e",
    "é",
    "‮a",
    "a​",
    "{{a}}",
    "$(a)",
    "`a`",
    "\x1b[31m",
    "a" * 254,
    "a" * 4096,
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default", "default"),
        ("node-1.rack-2.example.org", "node-1_rack-2_example_org"),
        (UID, UID),
        ("x" * 253, "x" * 253),
        ("..", "__"),
    ],
)
def test_a_kubernetes_name_is_one_token(name: str, expected: str) -> None:
    assert subjects.token(name) == expected


@pytest.mark.parametrize("name", HOSTILE_TOKENS, ids=lambda name: repr(name[:12]))
def test_nothing_else_becomes_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a subject token") as problem:
        subjects.token(name)
    assert len(str(problem.value)) < 512


names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?){0,3}", fullmatch=True)


@given(st.sets(names, min_size=2, max_size=6))
def test_different_names_are_different_tokens(several: set[str]) -> None:
    assert len({subjects.token(name) for name in several}) == len(several)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (KEY, "192-0-2-7_443_tcp"),
        (KEY6, "2001-0db8-0000-0000-0000-0000-0000-0007_53_udp"),
        (VirtualServerKey("::", 1, Protocol.SCTP), "0000-0000-0000-0000-0000-0000-0000-0000_1_sctp"),
    ],
)
def test_keys_as_tokens(key: VirtualServerKey, text: str) -> None:
    assert subjects.key_token(key) == text
    assert subjects.parse_key_token(text) == key


@given(st.ip_addresses(), st.integers(1, 65535), st.sampled_from(Protocol))
def test_key_tokens_are_read_back(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, protocol: Protocol
) -> None:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return
    key = VirtualServerKey(str(address), port, protocol)
    text = subjects.key_token(key)
    assert subjects.parse_key_token(text) == key
    assert set(text) <= set(string.ascii_lowercase + string.digits + "-_")


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE_TOKENS,
        "node",
        "192-0-2-7",
        "192-0-2-7_443",
        "192-0-2-7_443_tcp_x",
        "192-0-2-7_443_TCP",
        "192-0-2-7_443_icmp",
        "192-0-2-7_0443_tcp",
        "192-0-2-7_+443_tcp",
        "192-0-2-7_0_tcp",
        "192-0-2-7_65536_tcp",
        "192-0-2-7_-1_tcp",
        "192-0-2-7_" + "9" * 5000 + "_tcp",
        "192-0-2-07_443_tcp",
        "192-0-2_443_tcp",
        "192.0.2.7_443_tcp",
        "2001-db8-0-0-0-0-0-7_443_tcp",
        "2001-0DB8-0000-0000-0000-0000-0000-0007_443_tcp",
        "0000-0000-0000-0000-0000-ffff-c000-0207_443_tcp",
        "-------_443_tcp",
        "__",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_other_tokens_name_no_virtual_server(text: str) -> None:
    with pytest.raises(Poison, match="names no virtual server") as problem:
        subjects.parse_key_token(text)
    assert len(str(problem.value)) < 512


def of_the_hub(local: str) -> str:
    """What the server makes of a subject that a tenant's account publishes on."""
    first, rest = local.split(".", 1)
    return f"{subjects.ROOT}.{first}.{ACCOUNT}.{rest}"


def test_what_a_watcher_publishes_is_read_in_the_hub() -> None:
    service = of_the_hub(subjects.local_observed_service(CLUSTER, UID))
    assert service == f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.service.{UID}"
    assert service == subjects.observed_service(ACCOUNT, CLUSTER, UID)
    assert subjects.parse_observed(service) == ObservedSubject(ACCOUNT, CLUSTER, "service", UID)
    nodes = of_the_hub(subjects.local_observed_nodes(CLUSTER))
    assert subjects.parse_observed(nodes) == ObservedSubject(ACCOUNT, CLUSTER, "nodes")
    inventory = of_the_hub(subjects.local_observed_inventory(CLUSTER))
    assert subjects.parse_observed(inventory) == ObservedSubject(ACCOUNT, CLUSTER, "inventory")
    assert all(s.startswith(subjects.observed_of(ACCOUNT).removesuffix(">")) for s in (service, nodes, inventory))


@pytest.mark.parametrize(
    "subject",
    [
        "",
        ".",
        "fleetlb.v1",
        "fleetlb.v1.",
        f"fleetlb.v1.observed.{ACCOUNT}",
        f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}",
        f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.service",
        f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.pods",
        f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.nodes.{UID}",
        f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.service.{UID}.x",
        f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.SERVICE.{UID}",
        f"fleetlb.v2.observed.{ACCOUNT}.{CLUSTER}.nodes",
        f"xleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.nodes",
        f"fleetlb.v1.reported.{ACCOUNT}.{CLUSTER}.service.{UID}",
        f"observed.{CLUSTER}.nodes",
    ],
)
def test_other_subjects_are_not_observed(subject: str) -> None:
    with pytest.raises(Poison, match="is no subject of observed"):
        subjects.parse_observed(subject)


@pytest.mark.parametrize("hostile", HOSTILE_TOKENS, ids=lambda name: repr(name[:12]))
def test_hostile_tokens_are_poison_wherever_they_stand(hostile: str) -> None:
    templates = [
        "fleetlb.v1.observed.{}.c.service.u",
        "fleetlb.v1.observed.a.{}.service.u",
        "fleetlb.v1.observed.a.c.service.{}",
        "fleetlb.v1.observed.a.{}.nodes",
        "fleetlb.v1.reported.a.c.service.{}",
        "fleetlb.v1.reported.{}.c.service.u",
        "reported.{}.service.u",
        "reported.c.service.{}",
        "fleetlb.v1.released.a.{}.service.u",
        "fleetlb.v1.snapshot.{}",
        "fleetlb.v1.credentials.{}",
    ]
    for template in templates:
        for parse in (subjects.parse_observed, subjects.parse_service, subjects.parse_request):
            with pytest.raises(Poison) as problem:
                parse(template.format(hostile))
            assert len(str(problem.value)) < 1024


@given(st.text(max_size=80) | st.lists(st.text("abc._*>$ -", max_size=4), max_size=8).map(".".join))
def test_no_subject_makes_a_parser_fail_otherwise(subject: str) -> None:
    for parse in (
        subjects.parse_observed,
        subjects.parse_service,
        subjects.parse_request,
        subjects.parse_key_token,
    ):
        for text in (subject, f"fleetlb.v1.{subject}"):
            try:
                parse(text)
            except Poison:
                continue


def test_reports_and_releases_name_their_service() -> None:
    reported = subjects.reported(ACCOUNT, CLUSTER, UID)
    released = subjects.released(ACCOUNT, CLUSTER, UID)
    assert reported == f"fleetlb.v1.reported.{ACCOUNT}.{CLUSTER}.service.{UID}"
    assert subjects.parse_service(reported) == (ACCOUNT, CLUSTER, UID)
    assert subjects.parse_service(released) == (ACCOUNT, CLUSTER, UID)
    assert released.startswith(subjects.ALL_RELEASED.removesuffix(">"))
    local = subjects.local_reported(CLUSTER).replace("*", UID)
    assert of_the_hub(local) == reported
    assert subjects.parse_service(local) == ("", CLUSTER, UID)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "reported",
        f"reported.{CLUSTER}.{UID}",
        f"released.{CLUSTER}.service.{UID}",
        f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.service.{UID}",
        f"fleetlb.v1.reported.{CLUSTER}.nodes.{UID}",
        f"fleetlb.v1.reported.{ACCOUNT}.{CLUSTER}.service.{UID}.x",
    ],
)
def test_other_subjects_name_no_service(subject: str) -> None:
    with pytest.raises(Poison, match="names no service"):
        subjects.parse_service(subject)


def test_requests() -> None:
    for everybody in (subjects.ALL_SNAPSHOTS, subjects.ALL_CREDENTIALS):
        assert subjects.parse_request(everybody.replace("*", ACCOUNT)) == ACCOUNT
    for subject in ("", "snapshot", f"snapshot.{ACCOUNT}", f"fleetlb.v1.snapshot.{ACCOUNT}.x", "fleetlb.v1.snapshot"):
        with pytest.raises(Poison, match="is no request of an account"):
            subjects.parse_request(subject)


def test_every_other_subject() -> None:
    assert subjects.desired("default", KEY) == "fleetlb.v1.desired.default.192-0-2-7_443_tcp"
    assert subjects.desired_of("default") == "fleetlb.v1.desired.default.>"
    assert subjects.allowed("default", "acme.eu") == "fleetlb.v1.allowed.default.acme_eu"
    assert subjects.allowed_of("default") == "fleetlb.v1.allowed.default.>"
    assert subjects.realized("g", "node-1.a", KEY) == "fleetlb.v1.realized.g.node-1_a.192-0-2-7_443_tcp"
    assert subjects.realized_node("g", "node-1.a") == "fleetlb.v1.realized.g.node-1_a.node"
    assert subjects.realized_by("g", "node-1.a") == "fleetlb.v1.realized.g.node-1_a.>"
    assert subjects.realized_of("g") == "fleetlb.v1.realized.g.>"
    assert subjects.present("g", "node-1.a") == "fleetlb.v1.announced.g.node-1_a.node"
    assert subjects.carried("g", "node-1.a", "2001:db8::7") == (
        "fleetlb.v1.announced.g.node-1_a.vip.2001-0db8-0000-0000-0000-0000-0000-0007"
    )
    assert subjects.announced_by("g", "node-1.a") == "fleetlb.v1.announced.g.node-1_a.>"
    assert subjects.announced_of("g") == "fleetlb.v1.announced.g.>"
    assert subjects.instructed("g") == "fleetlb.v1.instructed.g"
    assert subjects.renewal(ACCOUNT) == of_the_hub(subjects.LOCAL_RENEWAL)
    assert subjects.resync(ACCOUNT, CLUSTER) == of_the_hub(subjects.local_resync(CLUSTER))
    assert subjects.parked(ACCOUNT, "17") == f"fleetlb.v1.parked.{ACCOUNT}.17"


def test_events_and_what_was_told() -> None:
    assert subjects.event("acme", "serving") == "fleetlb.v1.events.acme.serving"
    assert subjects.parse_told(subjects.told_service("acme", UID)) == ("acme", UID)
    assert subjects.parse_told(subjects.told_node("default", "node-1.rack.example")) == (
        "default",
        "node-1.rack.example",
    )


@pytest.mark.parametrize("rest", ["", "acme", "_fleet.default", "acme.a.b", "acme.*", "_fleet.a.b.c"])
def test_no_subject_of_told(rest: str) -> None:
    with pytest.raises(Poison):
        subjects.parse_told(f"fleetlb.v1.told.{rest}")

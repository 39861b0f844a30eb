import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.annotations import Annotation, Asked, parse_annotations
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.virtual_servers import Scheduler

BOTH = ("2001:db8::9", "192.0.2.9")


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, Asked()),
        ({"other.dev/pool": "x"}, Asked()),
        (dict.fromkeys(Annotation, ""), Asked()),
        (
            {"fleetlb.dev/addresses": " 2001:DB8:0::9 ,192.0.2.9,192.0.2.9"},
            Asked(addresses=("2001:db8::9", "192.0.2.9")),
        ),
        ({"fleetlb.dev/pool": "gold-2"}, Asked(pool="gold-2")),
        ({"fleetlb.dev/sharing-key": "shop/Web_1.a:80"}, Asked(sharing_key="shop/Web_1.a:80")),
        ({"fleetlb.dev/scheduler": "mh"}, Asked(scheduler=Scheduler.MAGLEV)),
        ({"fleetlb.dev/proxy-protocol": "v2"}, Asked(proxy_protocol=True)),
        ({"fleetlb.dev/drain-seconds": "0"}, Asked(drain_seconds=0)),
        ({"fleetlb.dev/drain-seconds": "86400"}, Asked(drain_seconds=86400)),
        ({"fleetlb.dev/hostname": "web-1.example.org"}, Asked(hostname="web-1.example.org")),
    ],
)
def test_what_is_asked_for(annotations: dict[str, str], expected: Asked) -> None:
    assert parse_annotations(annotations) == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("addresses", "192.0.2.300", ["'192.0.2.300'"]),
        ("pool", "Gold", ["'Gold'", "AddressPool"]),
        ("sharing-key", "a key", ["'a key'", "at most 63 letters"]),
        ("sharing-key", "k-", ["'k-'"]),
        ("sharing-key", "k" * 64, ["at most 63"]),
        ("sharing-key", "k\n", ["a letter or digit at both ends"]),
        ("scheduler", "fastest", ["'fastest'", "rr, wrr, lc, wlc, sh, mh"]),
        ("proxy-protocol", "v1", ["'v1'", "use v2"]),
        ("proxy-protocol", "true", ["'true'", "use v2"]),
        ("drain-seconds", "-1", ["'-1'", "from 0 to 86400"]),
        ("drain-seconds", "86401", ["'86401'"]),
        ("drain-seconds", "1m", ["'1m'"]),
        ("drain-seconds", "\u0661", ["'\u0661'"]),
        ("drain-seconds", "9" * 5000, ["from 0 to 86400"]),
        ("hostname", "web_1.example.org", ["web_1", "lower case"]),
        ("hostname", "Web.example.org", ["'Web.example.org'"]),
        ("hostname", "192.0.2.1", ["'192.0.2.1'", "not a name"]),
        ("hostname", "web..org", ["'web..org'"]),
        ("hostname", ".".join(["a" * 63] * 5), ["not a name"]),
    ],
)
def test_a_value_that_is_no_good_is_refused_by_name(name: str, text: str, words: list[str]) -> None:
    refusal = parse_annotations({f"fleetlb.dev/{name}": text})
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.INVALID
    assert refusal.message.startswith(f"annotation fleetlb.dev/{name}: ")
    assert [word for word in words if word not in refusal.message] == []
    assert len(refusal.message) < 256


def test_what_is_not_known_is_refused() -> None:
    for name, word in (("Pool", "not known"), ("schedular", "fleetlb.dev/scheduler")):
        refusal = parse_annotations({f"fleetlb.dev/{name}": "x"})
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.UNSUPPORTED
        assert word in refusal.message


def test_a_refusal_names_what_the_tenant_wrote() -> None:
    refusal = parse_annotations({"fleetlb.dev/pool": "Gold"}, {"fleetlb.dev/pool": "metallb.io/address-pool"})
    assert isinstance(refusal, Refusal)
    assert refusal.message.startswith("annotation metallb.io/address-pool: 'Gold'")


@given(st.dictionaries(st.sampled_from([*Annotation, "fleetlb.dev/", "fleetlb.dev/\x00"]), st.text(max_size=300)))
def test_whatever_is_written_the_answer_is_a_short_value(annotations: dict[str, str]) -> None:
    answer = parse_annotations(annotations)
    assert isinstance(answer, Asked) or len(answer.message) < 1024

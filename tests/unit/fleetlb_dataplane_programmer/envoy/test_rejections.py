"""Texts as Envoy 1.40 writes them."""

import pytest

from fleetlb_dataplane_programmer.envoy.rejections import MAX_MESSAGE_LENGTH, blame, explain

BUSY = "cannot bind '127.0.0.1:80': Address already in use"


def test_a_listener_that_cannot_bind_is_named() -> None:
    detail = f"Error adding/updating listener(s) 127.0.0.1:80/tcp: {BUSY}\n"

    assert blame(detail, ["127.0.0.1:80/tcp", "127.0.0.2:80/tcp"]) == {"127.0.0.1:80/tcp": BUSY}


def test_each_of_several_gets_its_own_text() -> None:
    detail = "Error adding/updating listener(s) [::1]:80/tcp: first\n127.0.0.1:80/tcp: second\n"

    assert blame(detail, ["127.0.0.1:80/tcp", "[::1]:80/tcp"]) == {
        "[::1]:80/tcp": "first",
        "127.0.0.1:80/tcp": "second",
    }


def test_clusters_are_separated_by_commas() -> None:
    detail = "Error adding/updating cluster(s) 10.0.0.1:1/tcp: no, 10.0.0.2:1/tcp: never"

    assert blame(detail, ["10.0.0.2:1/tcp", "10.0.0.1:1/tcp"]) == {"10.0.0.1:1/tcp": "no", "10.0.0.2:1/tcp": "never"}


@pytest.mark.parametrize(
    "detail",
    [
        "",
        "malformed IP address: 999.1.1.1. Consider setting resolver_name",
        "Error adding/updating listener(s) 127.0.0.1:80/tcp: has duplicate address as 27.0.0.1:80/tcp",
    ],
    ids=["empty", "names no resource", "a longer name, and a mention without a text"],
)
def test_nobody_is_blamed_by_chance(detail: str) -> None:
    assert blame(detail, ["27.0.0.1:80/tcp", "10.0.0.9:1/udp"]) == {}


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        (BUSY, "stop it, or give the Service another port"),
        ("cannot bind '127.0.0.1:80': Permission denied", "net.ipv4.ip_unprivileged_port_start"),
        ("cannot bind '[2001:db8::1]:80': Cannot assign requested address", "IPv6"),
        ("something new", "Envoy refused it"),
    ],
)
def test_the_operator_gets_a_cure_and_the_text(text: str, cure: str) -> None:
    assert cure in explain(text)
    assert text in explain(text)


def test_a_long_text_is_cut() -> None:
    assert len(explain("x" * 100_000)) < MAX_MESSAGE_LENGTH + 100

"""No secret gets into a dump, whatever it is hidden in; and what is none stays."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.runtime import nats_accounts as minting
from fleetlb.testkit.load_balancers import a_load_balancer
from fleetlb_cli.sysdump.secrecy import REMOVED, Secrecy, of_creds, of_environ, of_kubeconfig

SEEDS = [minting.new_seed(kind) for kind in minting.KeyKind]
USER = minting.public_key(SEEDS[-1])
JWT = minting.user_jwt("hub", USER, minting.new_seed(minting.KeyKind.ACCOUNT), issued_at=1)
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----"
TOKEN = "kubelet-token-0123"
SECRETS = [*SEEDS, JWT, PEM]
NAMES = [*(f"{kind.name.lower()} seed" for kind in minting.KeyKind), "JWT", "PEM"]


def clean(text: str, *known: str) -> str:
    return Secrecy(known).clean(text.encode()).decode()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("secret", SECRETS, ids=NAMES)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "FLEETLB_NATS_OPERATOR_SEED={}\n",
        "a: {}, b",
        "url=/x/{}",
    ],
)
def test_what_has_the_form_of_a_secret_is_taken_out(secret: str, around: str) -> None:
    found = clean(around.format(secret))
    assert secret not in found
    assert secret[-12:] not in found
    assert REMOVED.decode() in found


@pytest.mark.parametrize("secret", SECRETS, ids=NAMES)
def test_also_in_json_and_in_the_data_of_a_secret(secret: str) -> None:
    body = {"kind": "Secret", "data": {"seed": encoded(secret)}, "stringData": {"seed": secret}, "name": "kept"}
    found = clean(json.dumps(body))
    assert secret[-12:] not in found
    assert encoded(secret)[4:-4] not in found
    assert json.loads(found)["name"] == "kept"
    inside = clean(json.dumps({"config": encoded(f"nats:\n  seed: {secret}\n  more: text")}))
    assert REMOVED.decode() in inside


@pytest.mark.parametrize("known", [TOKEN, "päßword-of-hub", "x" * 8])
def test_what_is_known_to_be_one_is_taken_out_in_every_form(known: str) -> None:
    for text in (known, encoded(known), base64.urlsafe_b64encode(known.encode()).decode(), f"Bearer {known}"):
        assert text.rstrip("=") not in clean(f'"{text}"', known)


@given(st.text(min_size=12, alphabet=st.characters(min_codepoint=33, max_codepoint=126)), st.binary(), st.binary())
def test_whatever_stands_around_it(known: str, before: bytes, after: bytes) -> None:
    assert known.encode() not in Secrecy([known]).clean(before + known.encode() + after)


def test_credentials_in_urls_and_headers() -> None:
    assert "hunter2" not in clean("nats://admin:hunter2@hub:4222")
    assert "s3cr3t-token" not in clean("nats://s3cr3t-token@hub:4222")
    assert clean("nats://admin:hunter2@hub:4222").endswith("@hub:4222")
    assert "abcdefgh12345" not in clean("Authorization: Bearer abcdefgh12345")


def test_what_is_no_secret_stays() -> None:
    public = [minting.public_key(seed) for seed in SEEDS]
    item = json.dumps({"spec": str(a_load_balancer()), "keys": public, "trace": f"00-{7:032x}-{1:016x}-01"})
    plain = encoded("plain text that is quite long and no secret at all, so that it stays")
    for text in (item, plain, "nats://hub:4222", "fleetlb_repairs_total 0.0", "a short secret", "", "S" * 30):
        assert clean(text, "short") == text


def test_where_secrets_are_looked_for() -> None:
    assert list(of_creds(minting.creds_file(JWT, SEEDS[0]))) == [JWT, SEEDS[0]]
    kubeconfig = "users:\n- name: me\n  user: {token: abcdefgh, client-key-data: ijklmnop}\n- name: t\n"
    assert list(of_kubeconfig(kubeconfig)) == ["abcdefgh", "ijklmnop"]
    assert list(of_kubeconfig("{")) == []
    environ = {"FLEETLB_NATS_OPERATOR_SEED": SEEDS[0], "FLEETLB_NATS_CREDS": "/run/hub.creds", "HOME": "/root"}
    assert list(of_environ(environ)) == [SEEDS[0]]

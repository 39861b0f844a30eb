import base64

import nkeys
import pytest

from fleetlb.contracts import codec
from fleetlb.contracts.v1 import GroupInstructed, TenantAllowed
from fleetlb.domain.allowances import Allowance
from fleetlb.domain.errors import Poison
from fleetlb.runtime.nats_accounts import KeyKind, new_seed, public_key
from fleetlb.runtime.signing import check_public_key, is_signed, signed

SEED = new_seed(KeyKind.OPERATOR)
KEY = public_key(SEED)
MESSAGE = TenantAllowed(
    group="default", tenant="acme", generation=3, revision=9, allowed=Allowance(node_cidrs=("10.1.0.0/16",))
)
BODY = signed(MESSAGE, SEED)


def test_what_is_signed_reads_as_the_message() -> None:
    read = codec.decode(TenantAllowed, BODY)
    assert read.signature
    assert read.allowed == MESSAGE.allowed
    assert is_signed(BODY, KEY)
    assert signed(read, SEED) == BODY


def test_no_byte_can_be_changed() -> None:
    accepted = [at for at, byte in enumerate(BODY) if is_signed(BODY[:at] + bytes([byte ^ 1]) + BODY[at + 1 :], KEY)]
    within = BODY.index(b',"signature":"') + len(b',"signature":"')
    assert [at for at in accepted if at < within] == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(codec.encode(MESSAGE), id="unsigned"),
        pytest.param(signed(MESSAGE, new_seed(KeyKind.OPERATOR)), id="another key"),
        pytest.param(BODY[:-1] + b',"generation":99}', id="something behind it"),
        pytest.param(BODY[:-2] + b'==","generation":99,"x":"y"}', id="fields behind the padding"),
        pytest.param(BODY[:-2] + b'"," ":" "}', id="fields of what base64 leaves out"),
        pytest.param(BODY + b" ", id="a space behind it"),
        pytest.param(BODY + b"\n", id="a line's end behind it"),
        pytest.param(BODY.replace(b'"acme"', b'"globex"'), id="another tenant"),
        pytest.param(BODY.replace(b"/16", b"/08"), id="a wider network"),
        pytest.param(BODY.rpartition(b'"signature":"')[0] + b'"signature":""}', id="an empty signature"),
        pytest.param(b"", id="nothing"),
        pytest.param(b',"signature":"!"}', id="no base64"),
    ],
)
def test_everything_else_is_not_signed(body: bytes) -> None:
    assert not is_signed(body, KEY)


def test_no_signature_over_one_kind_of_message_passes_for_another() -> None:
    other = signed(GroupInstructed(group="default", generation=3, revision=9), SEED)
    assert is_signed(other, KEY)
    with pytest.raises(Poison, match="not a "):
        codec.decode(TenantAllowed, other)
    renamed = other.replace(b"group_instructed", b"tenant_allowed").replace(b'"group":', b'"tenant":"acme","group":')
    assert codec.decode(TenantAllowed, renamed).tenant == "acme"
    assert not is_signed(renamed, KEY)


def test_a_field_that_this_reader_does_not_know_is_signed_with_the_rest() -> None:
    bare = b'{"type":"dev.fleetlb.v1.tenant_allowed","group":"g","tenant":"t","generation":1,"revision":1,"new":[1]'
    raw = nkeys.from_seed(bytearray(SEED.encode())).sign(bare)
    body = bare + b',"signature":"' + base64.urlsafe_b64encode(raw).rstrip(b"=") + b'"}'
    assert is_signed(body, KEY)
    assert not is_signed(body.replace(b"[1]", b"[2]"), KEY)
    assert codec.decode(TenantAllowed, body).tenant == "t"


@pytest.mark.parametrize(
    "text",
    ["", "O", KEY[:-1], KEY[:-1] + ("A" if KEY[-1] != "A" else "B"), SEED, "\u00e4" * 56],
    ids=["nothing", "one letter", "too short", "mistyped", "a seed", "no ASCII"],
)
def test_a_key_that_is_none_is_named(text: str) -> None:
    check_public_key(KEY)
    with pytest.raises(ValueError, match="is no public key of NATS"):
        check_public_key(text)
    assert not is_signed(BODY, text)

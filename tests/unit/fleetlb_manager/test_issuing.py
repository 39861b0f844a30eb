import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import CredentialsIssued, CredentialsRequested
from fleetlb.domain.errors import Transient
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_permissions import WATCHER_PERMISSIONS
from fleetlb_manager.accounts import Issuer
from fleetlb_manager.credential_terms import CredentialTerms
from fleetlb_manager.issuing import BURST, REFILL_SECONDS, Issuing
from tests.unit.fleetlb_manager.manager_world import HandClock

SEED = nats_accounts.new_seed(KeyKind.ACCOUNT)
ACCOUNT = nats_accounts.public_key(SEED)
USER = nats_accounts.public_key(nats_accounts.new_seed(KeyKind.USER))
LIFE = 86400


class Desk:
    """An issuing desk for one tenant, with the clock at the start of its time."""

    def __init__(self, terms: CredentialTerms | None = None) -> None:
        self.clock = HandClock()
        self.terms = terms or CredentialTerms(life_seconds=LIFE)
        self.issuing = Issuing(self.issuer, self.clock)

    def issuer(self, account: str) -> Issuer | None:
        return Issuer("acme", SEED, self.terms) if account == ACCOUNT else None

    async def ask(self, issued_at: float = 0, account: str = ACCOUNT) -> CredentialsIssued | None:
        request = CredentialsRequested(user=USER, issued_at=int(issued_at))
        subject = subjects.ALL_CREDENTIALS.replace("*", account)
        answer = await self.issuing.respond(subject, codec.encode(request))
        return None if answer is None else codec.decode(CredentialsIssued, answer)


async def test_the_key_that_was_offered_gets_what_watchers_may_do_and_nothing_else() -> None:
    desk = Desk()
    answer = await desk.ask()
    assert answer is not None
    claims = nats_accounts.claims_of(answer.jwt)
    now = int(desk.clock.now)
    assert (claims["sub"], claims["iss"], claims["iat"], claims["exp"]) == (USER, ACCOUNT, now, now + LIFE)
    assert tuple(claims["nats"]["pub"]["allow"]) == WATCHER_PERMISSIONS.publish
    assert tuple(claims["nats"]["sub"]["allow"]) == WATCHER_PERMISSIONS.subscribe


async def test_credentials_that_are_good_for_long_are_not_followed_yet() -> None:
    desk = Desk()
    assert await desk.ask(issued_at=desk.clock.now - LIFE / 2 + 1) == CredentialsIssued()
    answer = await desk.ask(issued_at=desk.clock.now - LIFE / 2)
    assert answer is not None
    assert answer.jwt


async def test_credentials_that_expire_early_are_followed_early() -> None:
    desk = Desk()
    now = int(desk.clock.now)
    request = CredentialsRequested(user=USER, issued_at=now - 6, expires_at=now + 4)
    answer = await desk.issuing.respond(subjects.ALL_CREDENTIALS.replace("*", ACCOUNT), codec.encode(request))
    assert answer is not None
    assert codec.decode(CredentialsIssued, answer).jwt


async def test_who_has_no_issuer_gets_no_answer() -> None:
    assert await Desk().ask(account="A" * 56) is None


async def test_a_tenant_that_cannot_be_read_gets_no_answer() -> None:
    desk = Desk()

    def issuer(_: str) -> Issuer | None:
        raise Transient("spec.credentials.revoked.at: no time")

    desk.issuing._issuer = issuer
    assert await desk.ask() is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"rubbish",
        b"[" * 100_000,
        codec.encode(CredentialsIssued()),
        b'{"type":"dev.fleetlb.v1.credentials_requested","user":"' + SEED.encode() + b'","issuedAt":0}',
        b'{"type":"dev.fleetlb.v1.credentials_requested","user":"' + USER.encode() + b'","issuedAt":-1}',
    ],
)
async def test_garbage_gets_no_answer(data: bytes) -> None:
    assert await Desk().issuing.respond(subjects.ALL_CREDENTIALS.replace("*", ACCOUNT), data) is None


async def test_one_account_cannot_have_ever_more() -> None:
    desk = Desk()
    answers = [await desk.ask() for _ in range(BURST + 5)]
    assert [answer is not None for answer in answers] == [True] * BURST + [False] * 5
    assert await desk.ask(issued_at=desk.clock.now) == CredentialsIssued(), "what costs nothing is not counted"
    desk.clock.now += REFILL_SECONDS
    assert await desk.ask() is not None
    assert await desk.ask() is None
    desk.clock.now += 100 * REFILL_SECONDS
    assert [await desk.ask() is not None for _ in range(BURST + 1)] == [True] * BURST + [False]

"""Answers watchers that ask for their next credentials: a right to connect for the key that they offer, once it is due.

Whoever speaks in a tenant's account gets what its watchers may do and nothing else. Requests that cannot be granted are
not answered: the asker comes again. One account asks others no time: what is issued to it is bounded.
"""

from collections.abc import Callable

import structlog
from prometheus_client import Counter

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import CredentialsIssued, CredentialsRequested
from fleetlb.domain.errors import Poison, Transient
from fleetlb.kube.leases import Clock
from fleetlb_manager import minting
from fleetlb_manager.accounts import Issuer
from fleetlb_manager.credential_terms import Validity

REQUESTS = Counter("fleetlb_credential_requests_total", "Requests of watchers for credentials.", ["result"])
BURST = 16
"""Credentials issued to one account at once; then one per `REFILL_SECONDS`."""
REFILL_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Issuing:
    """Answers on the subject of requests for credentials."""

    def __init__(self, issuer: Callable[[str], Issuer | None], clock: Clock) -> None:
        """`issuer` tells who may issue for an account."""
        self._issuer = issuer
        self._clock = clock
        self._issued: dict[str, tuple[float, float]] = {}
        """By account: how many credentials, fading with time, and when that was reckoned."""

    async def respond(self, subject: str, data: bytes) -> bytes | None:
        """The answer to one request, or None for none."""
        try:
            account = subjects.parse_request(subject)
            request = codec.decode(CredentialsRequested, data)
            issuer = self._issuer(account)
        except Poison as problem:
            REQUESTS.labels("unreadable").inc()
            log.debug("a request for credentials cannot be read", problem=str(problem))
            return None
        except Transient:
            issuer = None
        if issuer is None:
            REQUESTS.labels("closed").inc()
            return None
        now = self._clock.wall()
        if not issuer.terms.is_due(Validity(request.issued_at, request.expires_at), now):
            REQUESTS.labels("not due").inc()
            return codec.encode(CredentialsIssued())
        if not self._may_have_one_more(account):
            REQUESTS.labels("too many").inc()
            return None
        REQUESTS.labels("issued").inc()
        jwt = minting.watcher_jwt(issuer.tenant, request.user, issuer.seed, issuer.terms.issue(now))
        return codec.encode(CredentialsIssued(jwt=jwt))

    def _may_have_one_more(self, account: str) -> bool:
        now = self._clock.monotonic()
        count, since = self._issued.get(account, (0.0, now))
        left = max(0.0, count - (now - since) / REFILL_SECONDS)
        if left > BURST - 1:
            return False
        self._issued[account] = (left + 1, now)
        return True

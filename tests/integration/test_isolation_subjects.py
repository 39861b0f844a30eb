"""Every kind of subject, in every way in which it can be used, by a tenant that wants more than its own (T1, T5)."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fleetlb.contracts.streams import observed_stream
from fleetlb.runtime import nats_accounts as minting
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.raw_nats import Heard, RawNats
from tests.integration.hostile_subjects import FAMILIES
from tests.integration.walled import EVIL, USERS, Neighbours, Site, learned, neighbours, sites

pytestmark = pytest.mark.integration

CONTROL_LINE = 4000
"""A longer subject costs the connection."""
SUBSCRIPTIONS = 50
"""At once, below what an account may have."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


class Attacker:
    """One who comes back whenever the server has had enough of him, and remembers all that he heard."""

    def __init__(self, others: Neighbours, user: str) -> None:
        self._others, self._user = others, user
        self._clients: list[RawNats] = []
        self.client: RawNats

    async def come_back(self) -> None:
        self.client = await self._others.attacker(self._user)
        self._clients.append(self.client)
        self.client.subscribe("_INBOX.evil.*")
        self.client.subscribe(">")

    async def settle(self) -> None:
        try:
            await self.client.settle()
        except ConnectionError:
            await self.come_back()

    async def can_speak(self) -> bool:
        """Whether it is heard by the hub after all that: else nothing of the above was tried."""
        self.client.publish("observed.c1.service.last", EVIL, reply="_INBOX.evil.last")
        await eventually(lambda: any(answer.subject == "_INBOX.evil.last" for answer in self.answers))
        return is_harmless(self._others.site, self.answers[-1])

    @property
    def heard(self) -> list[Heard]:
        return [heard for client in self._clients for heard in client.heard]

    @property
    def answers(self) -> list[Heard]:
        return [heard for heard in self.heard if heard.subject.startswith("_INBOX.evil.")]


async def attacker_near(others: Neighbours, user: str) -> Attacker:
    made = Attacker(others, user)
    await made.come_back()
    return made


def body_for(site: Site, subject: str) -> bytes:
    """What the attack would need to succeed, if it could."""
    evil = site.evil
    forged = minting.account_jwt(
        minting.hub_account_claims(), evil.account, evil.account_seed, issued_at=int(time.time())
    )
    subject_of_good = site.words("fleetlb.v1.observed.{good}.c1.service.u1")
    consumer = {"ack_policy": "none", "deliver_subject": "_INBOX.evil.c", "name": "c"}
    bodies: dict[str, Any] = {
        "STREAM.CREATE": {"name": "MINE", "subjects": ["mine"], "storage": "memory"},
        "STREAM.UPDATE": {"name": site.words("{S}"), "subjects": ["mine"], "storage": "memory"},
        "STREAM.MSG.GET": {"last_by_subj": subject_of_good},
        "STREAM.MSG.DELETE": {"seq": 1},
        "STREAM.SNAPSHOT": {"deliver_subject": "_INBOX.evil.s"},
        "DIRECT.GET": {"last_by_subj": subject_of_good},
        "CONSUMER.": {"stream_name": site.words("{S}"), "config": consumer},
        "CONSUMER.MSG.NEXT": {"batch": 1},
        "INFO": None,
        "NAMES": None,
        "LIST": None,
    }
    if "CLAIMS" in subject:
        return forged.encode()
    for part in sorted(bodies, key=len, reverse=True):
        if subject.startswith("$JS.API") and part in subject:
            return json.dumps(bodies[part]).encode() if bodies[part] else b""
    return EVIL


def is_harmless(site: Site, answer: Heard) -> bool:
    """A refusal, or what is the asker's own."""
    if b"503" in answer.headers or answer.data.startswith((b"YOURS ", EVIL)):
        return True
    said = json.loads(answer.data)
    if said.get("stream") == observed_stream(site.evil.account).name or "error" in said:
        return True
    return site.evil.account.encode() in answer.data


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("verb", ["publish", "request"])
async def test_T1_nothing_said_reaches_another_tenant_or_changes_the_hub(
    site: Site, user: str, verb: str, family: str
) -> None:
    async with neighbours(site) as others:
        attacker = await attacker_near(others, user)
        async with others.unharmed():
            for number, template in enumerate(FAMILIES[family]):
                subject = site.words(template)
                reply = f"_INBOX.evil.{number}" if verb == "request" else ""
                attacker.client.publish(subject, body_for(site, subject), reply=reply)
                await attacker.settle()
        await attacker.settle()
        assert learned(site, attacker.heard) == []
        strange = [answer for answer in attacker.answers if not is_harmless(site, answer)]
        assert strange == []
        assert await attacker.can_speak()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("queue", ["", "fleetlb"], ids=["subscribe", "queue-subscribe"])
async def test_T5_nothing_of_others_is_heard_or_taken_from_them(site: Site, user: str, queue: str, family: str) -> None:
    wanted = [site.words(template) for template in FAMILIES[family]]
    short = [subject for subject in wanted if len(subject) < CONTROL_LINE]
    rounds = [short[at : at + SUBSCRIPTIONS] for at in range(0, len(short), SUBSCRIPTIONS)]
    rounds += [[subject] for subject in wanted if len(subject) >= CONTROL_LINE]
    async with neighbours(site) as others:
        attacker = await attacker_near(others, user)
        async with others.unharmed():
            for subjects in rounds:
                sids = [attacker.client.subscribe(subject, queue) for subject in subjects]
                await attacker.settle()
                for sid in sids:
                    attacker.client.unsubscribe(sid)
                await attacker.settle()
        for subjects in rounds:
            sids = [attacker.client.subscribe(subject, queue) for subject in subjects]
            await attacker.settle()
            await others.live()
            await attacker.settle()
            for sid in sids:
                attacker.client.unsubscribe(sid)
        await attacker.settle()
        assert learned(site, attacker.heard) == []
        assert attacker.heard == [], "nobody spoke to it"
        assert await attacker.can_speak()

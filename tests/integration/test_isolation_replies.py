"""Where the server and the hub answer to is the asker's choice; it must never lead out of the asker's account."""

import json
from collections.abc import Iterator

import pytest

from fleetlb.contracts.streams import observed_stream
from fleetlb.testkit.eventually import eventually
from tests.integration.hostile_subjects import FAMILIES
from tests.integration.walled import EVIL, Site, learned, neighbours, sites

pytestmark = pytest.mark.integration

ASKED = ["observed.c1.service.bait", "snapshot", "credentials"]
AIMS = [
    *FAMILIES["of another tenant"], *FAMILIES["of the hub"],
    "$JS.API.STREAM.PURGE.{S}", "$JS.API.STREAM.DELETE.{S}", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.INFO.{S}",
    "$JS.API.CONSUMER.CREATE.{S}", "$JS.ACK.{S}.c.1.1.1.1.1", "$JS.FC.{S}.c.x", "$SYS.REQ.CLAIMS.DELETE",
    "$SYS.REQ.ACCOUNT.{good}.CLAIMS.UPDATE", "$KV.a.b", "observed.c1.service.*", "_R_.x.y",
    "_INBOX.{good}.1", "reported.c1.service.u1", "resync.c1", "renewal.credentials", "observed..x", "_INBOX.>", ">",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


@pytest.mark.parametrize("user", ["watcher", "rogue"])
@pytest.mark.parametrize("asked", ASKED)
async def test_T1_an_answer_goes_nowhere_but_to_its_askers_own_account(site: Site, user: str, asked: str) -> None:
    aims = [site.words(aim) for aim in AIMS]
    async with neighbours(site) as others:
        inboxes = [message.reply for message in others.in_good.heard if message.reply]
        assert inboxes, "the other tenant asked nothing: there is no inbox to aim at"
        bait, witness = await others.attacker(user), await others.attacker("rogue")
        everything = witness.subscribe(">")
        await witness.settle()
        async with others.unharmed():
            for aim in [*set(inboxes), *aims]:
                bait.publish(asked, EVIL, reply=aim)
            await bait.settle()
        # What was answered, was answered into the asker's own account, under that very name.
        answered = {heard.subject for heard in witness.of(everything) if _is_an_answer(site, heard.data)}
        assert answered >= set(inboxes)
        assert site.words("fleetlb.v1.observed.{good}.c1.service.u1") in answered
        assert learned(site, [*bait.heard, *witness.heard]) == []


def _is_an_answer(site: Site, data: bytes) -> bool:
    if data.startswith(b"YOURS "):
        return True
    return data.startswith(b"{") and json.loads(data).get("stream") == observed_stream(site.evil.account).name


async def test_T4_a_wish_and_a_question_are_their_askers_whatever_they_claim(site: Site) -> None:
    """The hub reads who speaks from the subject, which the server wrote."""
    async with neighbours(site) as others:
        rogue = await others.attacker("rogue")
        rogue.subscribe("mine")
        async with others.unharmed():
            for asked in ("snapshot", "credentials"):
                rogue.publish(asked, site.good.account.encode(), reply="mine", headers={"account": site.good.account})
            await eventually(lambda: len(rogue.heard) == 2)
        said = {heard.data.decode() for heard in rogue.heard}
        assert said == {f"YOURS {asked} {site.evil.account}" for asked in ("snapshot", "credentials")}


async def test_T1_whoever_wants_answers_everywhere_disturbs_nobody_elses(site: Site) -> None:
    async with neighbours(site) as others:
        rogue = await others.attacker("rogue")
        for _ in range(50):
            for asked in ASKED:
                rogue.publish(asked, EVIL, reply=">")
            await others.live()


async def test_T1_a_reply_of_the_hub_cannot_be_overheard_or_forged_by_a_guess(site: Site) -> None:
    """The other tenant's question is answered by the hub, though somebody else floods the inbox that it asked with."""
    async with neighbours(site) as others:
        rogue = await others.attacker("rogue")
        inboxes = {message.reply for message in others.in_good.heard if message.reply}
        for inbox in inboxes:
            prefix = inbox.rpartition(".")[0]
            rogue.subscribe(f"{prefix}.*")
        for number in range(200):
            for inbox in inboxes:
                rogue.publish(f"{inbox.rpartition('.')[0]}.{number}", EVIL)
        await rogue.settle()
        await others.live()
        assert learned(site, rogue.heard) == []

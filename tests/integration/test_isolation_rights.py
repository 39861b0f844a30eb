"""What a watcher's credentials allow is exactly its list; the server says no to everything else."""

from collections.abc import Iterator

import pytest

from fleetlb.runtime import nats_accounts as minting
from fleetlb.runtime.nats_permissions import WATCHER_PERMISSIONS
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.raw_nats import RawNats
from tests.integration.hostile_subjects import FAMILIES
from tests.integration.walled import Site, neighbours, sites

pytestmark = pytest.mark.integration

SAID = ["observed.c1.service.u1", "observed.c1.nodes", "observed.c1.inventory", "snapshot", "credentials"]
HEARD = ["reported.c1.service.*", "reported.>", "resync.c1", "resync.>", "renewal.credentials", "renewal.>"]
TREES_SAID, TREES_HEARD = ("observed.",), ("reported.", "resync.", "renewal.", "_INBOX.")
FURTHER = [
    "reported.c1.service.u1", "resync.c1", "renewal.credentials", "_INBOX.x.1", "snapshot", "credentials",
    "snapshot.c1", "credentials.c1", "observed", "observed.c1.nodes", "snapshots", "Observed.c1.nodes",
    "anything", "_INBOX", "_INBOXES.x", "reported", "mine.>",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


def everything_but(site: Site, words: tuple[str, ...], trees: tuple[str, ...]) -> list[str]:
    """Every subject of every family that is neither one of the words nor in one of the trees."""
    families = ("of another tenant", "of the hub", "wildcards", "of JetStream", "of the system")
    known = [*FURTHER, *(subject for family in families for subject in FAMILIES[family])]
    wanted = [site.words(subject) for subject in known]
    return [subject for subject in wanted if subject not in words and not subject.startswith(trees)]


async def refusals(client: RawNats) -> list[str]:
    """What the server refused so far; its answer to a ping comes after that."""
    await client.settle()
    found, client.errors = [error for error in client.errors if "Permissions Violation" in error], []
    return found


def test_T1_the_list_is_the_one_that_is_tested_here() -> None:
    assert set(WATCHER_PERMISSIONS.publish) == {"observed.>", "snapshot", "credentials"}
    assert set(WATCHER_PERMISSIONS.subscribe) == {"reported.>", "resync.>", "renewal.>", "_INBOX.>"}


async def test_T1_what_is_on_the_list_is_allowed(site: Site) -> None:
    async with neighbours(site) as others:
        watcher = await others.attacker("watcher")
        inbox = watcher.subscribe("_INBOX.x.*")
        sids = [watcher.subscribe(subject) for subject in HEARD]
        for number, subject in enumerate(SAID):
            watcher.publish(subject, b"1", reply=f"_INBOX.x.{number}")
        assert await refusals(watcher) == []
        for subject in ("reported.{}.c1.service.u1", "resync.{}.c1", "renewal.{}.credentials"):
            await others.hub.notify("fleetlb.v1." + subject.format(site.evil.account), b"2")
        await eventually(lambda: all(watcher.of(sid) for sid in sids) and len(watcher.of(inbox)) == len(SAID))


async def test_T1_a_watcher_may_say_nothing_else(site: Site) -> None:
    async with neighbours(site) as others:
        watcher = await others.attacker("watcher")
        for subject in everything_but(site, ("snapshot", "credentials"), TREES_SAID):
            watcher.publish(subject, b"1", reply="_INBOX.x.1")
            assert await refusals(watcher) == [f"'Permissions Violation for Publish to \"{subject}\"'"]


@pytest.mark.parametrize("queue", ["", "fleetlb"], ids=["alone", "queue"])
async def test_T5_a_watcher_may_hear_nothing_else(site: Site, queue: str) -> None:
    async with neighbours(site) as others:
        watcher = await others.attacker("watcher")
        using = f' using queue "{queue}"' if queue else ""
        for subject in everything_but(site, (), TREES_HEARD):
            watcher.subscribe(subject, queue)
            assert await refusals(watcher) == [f"'Permissions Violation for Subscription to \"{subject}\"{using}'"]


@pytest.mark.parametrize("reply", ["_R_.x.y", "$JS.ACK.{S}.c.1.1.1.1.1"])
async def test_T1_replies_that_the_server_uses_itself_are_refused(site: Site, reply: str) -> None:
    async with neighbours(site) as others:
        watcher = await others.attacker("watcher")
        watcher.publish("snapshot", b"1", reply=site.words(reply))
        (error,) = await refusals(watcher)
        assert "Publish with Reply" in error


async def test_T1_credentials_are_good_for_their_own_account_alone(site: Site) -> None:
    """A key is worth nothing with another's JWT, nor a JWT of an account that the operator never made."""
    async with neighbours(site) as others:
        forged = site.server.write_creds("forged", minting.new_seed(minting.KeyKind.ACCOUNT))
        stolen = site.server.directory / "stolen.creds"
        jwt = site.good.creds.read_text().split("-----BEGIN USER NKEY SEED-----")[0]
        seed = site.evil.creds.read_text().split("-----BEGIN USER NKEY SEED-----")[1]
        stolen.write_text(f"{jwt}-----BEGIN USER NKEY SEED-----{seed}")
        for creds in (forged, stolen):
            with pytest.raises(ConnectionError, match=r"(?i)authorization"):
                await RawNats.connect(site.server.port, creds)
        await others.live()

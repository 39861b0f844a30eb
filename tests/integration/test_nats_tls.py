"""TLS to a real NATS, verified by both sides: what is refused and why, and what a renewed certificate takes."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
import trustme
from cryptography import x509
from cryptography.x509.oid import NameOID

from fleetlb.runtime.connection import Connection, Dialling
from fleetlb.runtime.nats_config import ServerTls
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.runtime.nats_tls import NO_FILES, TlsFiles
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.nats_server import NatsServer

pytestmark = pytest.mark.integration
HOST = "127.0.0.1"


class Papers:
    """Certificates of both sides as an operator would have them: files that can be replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA(organization_name="first")
        self.issue(self.authority)
        self.server = ServerTls(cert=folder / "server.crt", key=folder / "server.key", ca=folder / "server-ca.crt")
        self.client = TlsFiles(ca=folder / "client-ca.crt", cert=folder / "client.crt", key=folder / "client.key")

    def issue(self, authority: trustme.CA, host: str = HOST) -> None:
        """New certificates for both, and trust in their authority alone."""
        self.trust("server-ca.crt", authority)
        self.trust("client-ca.crt", authority)
        self.write("server", authority.issue_cert(host))
        self.write("client", authority.issue_cert("manager.fleetlb-system"))

    def trust(self, name: str, *authorities: trustme.CA) -> None:
        (self.folder / name).write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities))

    def write(self, name: str, leaf: trustme.LeafCert) -> None:
        (self.folder / f"{name}.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        (self.folder / f"{name}.key").write_bytes(leaf.private_key_pem.bytes())


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    folder = tmp_path / "papers"
    folder.mkdir()
    return Papers(folder)


@pytest.fixture
def nats(papers: Papers, tmp_path: Path) -> Iterator[NatsServer]:
    with a_server(tmp_path / "nats", papers.server) as server:
        yield server


@contextlib.contextmanager
def a_server(folder: Path, tls: ServerTls | None) -> Iterator[NatsServer]:
    folder.mkdir()
    server = NatsServer(folder, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def dialling(server: NatsServer, tls: TlsFiles, url: str = "") -> AsyncIterator[Connection]:
    keyring = Keyring(server.hub_creds)
    connection = Connection(Dialling(url=url or server.url, name="test", creds=keyring, tls=tls))
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(connection.run())
        yield connection
        assert not keeper.done()
        keeper.cancel()


async def told(server: NatsServer, tls: TlsFiles, url: str = "") -> str:
    """What a process says that cannot connect."""
    with structlog.testing.capture_logs() as lines:
        async with dialling(server, tls, url) as connection:
            await eventually(lambda: any("cannot connect" in line["event"] for line in lines), seconds=20)
            assert not connection.connected
    return next(str(line["error"]) for line in lines if "cannot connect" in line["event"])


def shown_by(server: NatsServer) -> x509.Certificate:
    """The certificate that the server shows right now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((HOST, server.port), timeout=5) as plain:
        while not plain.recv(4096).endswith(b"\r\n"):
            pass
        with context.wrap_socket(plain) as wrapped:
            shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


def names_of(certificate: x509.Certificate) -> str:
    return str(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def authority_of(certificate: x509.Certificate) -> str:
    return str(certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value)


async def test_both_sides_show_their_certificates_and_talk(nats: NatsServer, papers: Papers) -> None:
    async with dialling(nats, papers.client) as connection, asyncio.timeout(20):
        await (await connection.session()).flush(5)


async def test_whoever_shows_no_certificate_is_not_let_in(nats: NatsServer, papers: Papers) -> None:
    text = await told(nats, TlsFiles(ca=papers.client.ca))
    assert "FLEETLB_NATS_TLS_CERT" in text


async def test_a_server_of_an_authority_that_is_not_trusted_is_told_nothing(nats: NatsServer, papers: Papers) -> None:
    papers.trust("client-ca.crt", trustme.CA())
    text = await told(nats, papers.client)
    assert "not to be trusted" in text
    assert "FLEETLB_NATS_TLS_CA" in text


async def test_without_a_file_the_systems_authorities_are_trusted_and_no_others(
    nats: NatsServer, papers: Papers
) -> None:
    without = TlsFiles(cert=papers.client.cert, key=papers.client.key)
    assert "not to be trusted" in await told(nats, without)


async def test_a_certificate_for_another_host_is_refused(nats: NatsServer, papers: Papers) -> None:
    papers.issue(papers.authority, host="elsewhere.example.org")
    nats.reload()
    await eventually(lambda: "elsewhere.example.org" in names_of(shown_by(nats)), seconds=20)
    assert "not to be trusted" in await told(nats, papers.client)


async def test_a_server_without_tls_never_hears_who_we_are(papers: Papers, tmp_path: Path) -> None:
    with a_server(tmp_path / "plain", None) as plain:
        text = await told(plain, papers.client, url=plain.url.replace("nats://", "tls://"))
        assert "offers no TLS" in text
        assert "authentication" not in plain.log.read_text().lower()


@pytest.mark.parametrize("name", ["client.crt", "client.key", "client-ca.crt"])
@pytest.mark.parametrize("content", [None, "", "no PEM at all"])
async def test_a_file_that_cannot_be_read_is_named_and_waited_for(
    nats: NatsServer, papers: Papers, name: str, content: str | None
) -> None:
    file = papers.folder / name
    sound = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_text(content)
    with structlog.testing.capture_logs() as lines:
        async with dialling(nats, papers.client) as connection, asyncio.timeout(20):
            await eventually(lambda: any(str(file) in str(line.get("error")) for line in lines))
            file.write_bytes(sound)
            await connection.session()


async def test_renewed_certificates_are_taken_up_without_a_restart(nats: NatsServer, papers: Papers) -> None:
    """As an operator replaces an authority: both are trusted first, then each side shows the new one, then one."""
    second = trustme.CA(organization_name="second")
    async with dialling(nats, papers.client) as connection, asyncio.timeout(50):
        first = await connection.session()
        for name in ("server-ca.crt", "client-ca.crt"):
            papers.trust(name, papers.authority, second)
        nats.reload()
        await first.flush(5)
        connection.dial_anew("to trust both")
        await eventually(lambda: connection.connected and connection.current() is not first)
        papers.issue(second)
        nats.reload()
        await eventually(lambda: authority_of(shown_by(nats)) == "second", seconds=20)
        standing = await connection.session()
        await standing.flush(5)  # whoever is connected stays
        connection.dial_anew("to show the new one")
        await eventually(lambda: connection.connected and connection.current() is not standing)
    papers.write("client", papers.authority.issue_cert("manager.fleetlb-system"))
    assert "FLEETLB_NATS_TLS_CERT" in await told(nats, papers.client)


def test_what_is_set_in_half_or_beside_a_plain_url_is_named(papers: Papers) -> None:
    cert, key = papers.client.cert, papers.client.key
    assert "without FLEETLB_NATS_TLS_KEY" in TlsFiles(cert=cert).problems("tls://hub:4222")[0]
    assert "without FLEETLB_NATS_TLS_CERT" in TlsFiles(key=key).problems("tls://hub:4222")[0]
    assert "write tls://" in papers.client.problems("tls://a:4222,nats://b:4222")[0]
    assert not papers.client.problems("tls://a:4222,tls://b:4222")
    assert not NO_FILES.problems("nats://a:4222")
    assert not NO_FILES.problems("tls://a:4222")

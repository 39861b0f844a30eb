"""What a process trusts NATS by, and shows itself with: files read at every dial, so that renewed ones are taken up.

A URL `tls://` demands TLS: the server's greeting comes in the clear, and whoever sits between could say that it wants
none. Must not know what a session is.
"""

import ssl
from pathlib import Path

import msgspec
from nats.aio.client import Client
from nats.errors import UnexpectedEOF

from fleetlb.domain.errors import Transient

SCHEME = "tls://"
CA, CERT, KEY = "FLEETLB_NATS_TLS_CA", "FLEETLB_NATS_TLS_CERT", "FLEETLB_NATS_TLS_KEY"


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files. Without `ca` the system's authorities are trusted; without `cert` and `key` nothing is shown."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def problems(self, url: str) -> list[str]:
        """What is wrong with them beside this URL, one sentence each that names the variable and the cure."""
        found = []
        if (self.cert is None) != (self.key is None):
            given, missing = (CERT, KEY) if self.key is None else (KEY, CERT)
            found.append(f"{given} is set without {missing}: a certificate is shown with its key, set both or none")
        plain = [server for server in url.split(",") if not server.startswith(SCHEME)]
        if plain and self != NO_FILES:
            used = next(name for name, path in ((CA, self.ca), (CERT, self.cert), (KEY, self.key)) if path is not None)
            found.append(f"{used} is set, but FLEETLB_NATS_URL names {plain[0]}: write {SCHEME}HOST:PORT, or unset it")
        return found

    def context(self) -> ssl.SSLContext:
        """What to dial with, from the files as they are now. Raises Transient that names the file and the cure."""
        return _with_certificate(_trusting(self.ca), self.cert, self.key)


NO_FILES = TlsFiles()


class DemandingClient(Client):
    """Introduces itself over TLS alone."""

    def _connect_command(self) -> bytes:
        if self._transport is None or not _is_encrypted(self._transport):
            raise Transient(
                f"the server offers no TLS, and {SCHEME} demands it: switch TLS on in the server, or write nats://"
            )
        return super()._connect_command()


def explained(problem: Exception) -> str:
    """What a dial with TLS met, with the cure where TLS is the trouble."""
    text = str(problem) or type(problem).__name__
    if isinstance(problem, (ConnectionError, UnexpectedEOF)) and not isinstance(problem, ConnectionRefusedError):
        # In TLS 1.3 a client's certificate is refused when the client is done, and the word of it is often lost.
        return f"the server hung up ({text}); if it asks for certificates, it may not like that of {CERT}"
    if isinstance(problem, ssl.SSLCertVerificationError):
        why = problem.verify_message or text
        return f"the server's certificate is not to be trusted ({why}): compare it with {CA} and with the URL's host"
    if isinstance(problem, ssl.SSLError):
        return f"TLS with the server failed ({text}); if it asks for certificates, it may not like that of {CERT}"
    return text


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as problem:
        raise Transient(f"{CA}={ca} cannot be read ({_why(problem)}): name a PEM file of certificates") from None


def _with_certificate(context: ssl.SSLContext, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is None:
        return context
    try:
        # An encrypted key would be asked for on the terminal.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except (OSError, ssl.SSLError) as problem:
        text = f"{CERT}={cert} and {KEY}={key} cannot be used ({_why(problem)})"
        raise Transient(f"{text}: name PEM files of a certificate and of its own key, unencrypted") from None
    return context


def _why(problem: OSError) -> str:
    """An SSLError is an OSError."""
    if isinstance(problem, ssl.SSLError):
        return problem.reason or "no PEM"
    return problem.strerror or str(problem)


def _is_encrypted(transport: object) -> bool:
    writer = getattr(transport, "_io_writer", None)
    return writer is not None and writer.get_extra_info("ssl_object") is not None

"""How a process reaches NATS: the settings that all four services share."""

from pathlib import Path
from typing import Annotated

import msgspec

from fleetlb.runtime.nats_tls import TlsFiles
from fleetlb.runtime.settings import ProcessSettings, setting


class NatsSettings(ProcessSettings, frozen=True, kw_only=True):
    """A service's own settings inherit from it."""

    nats_url: Annotated[
        str, setting("where the hub's NATS listens, such as nats://nats:4222 or tls://nats:4222; several with commas")
    ]
    nats_creds: Annotated[Path, setting("file with the NATS credentials of this process")]
    nats_tls_ca: Annotated[
        Path | None, setting("file of the certificates that NATS' own is trusted by; unset: the system's")
    ] = None
    nats_tls_cert: Annotated[
        Path | None, setting("file of the certificate to show to NATS, where it asks for one; read at every dial")
    ] = None
    nats_tls_key: Annotated[Path | None, setting("file of that certificate's key")] = None

    @property
    def nats_tls(self) -> TlsFiles:
        """The three files together."""
        return TlsFiles(ca=self.nats_tls_ca, cert=self.nats_tls_cert, key=self.nats_tls_key)

    def problems(self) -> list[str]:
        """What no type can say."""
        return super().problems() + self.nats_tls.problems(self.nats_url)


class StreamKeeperSettings(NatsSettings, frozen=True, kw_only=True):
    """Of a service that makes streams."""

    nats_replicas: Annotated[
        int,
        msgspec.Meta(
            description="how many servers of NATS' cluster hold each stream, at least: 1, 3 or 5; never lowered by us",
            ge=1,
            le=5,
        ),
    ] = 1

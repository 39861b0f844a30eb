"""Options that name PEM files for TLS with NATS. Imports nothing that carries a command out."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from fleetlb_cli.papers import Papers


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PaperOptions:
    """Options that name the files."""

    nats_ca: Annotated[Path | None, Parameter(help="PEM file of the authorities that vouch for NATS.")] = None
    nats_cert: Annotated[Path | None, Parameter(help="PEM file of the certificate to show to NATS.")] = None
    nats_key: Annotated[Path | None, Parameter(help="PEM file of its key.")] = None

    def read(self, url: str) -> "Papers":
        """The files. Raises ValueError, naming the option and the cure, and OSError."""
        from fleetlb.runtime.nats_tls import SCHEME
        from fleetlb_cli.papers import Papers

        if (self.nats_cert is None) != (self.nats_key is None):
            raise ValueError("--nats-cert and --nats-key belong together: give both or none")
        named = {"ca": self.nats_ca, "cert": self.nats_cert, "key": self.nats_key}
        if any(named.values()) and any(not server.startswith(SCHEME) for server in url.split(",")):
            raise ValueError(f"--nats-ca, --nats-cert and --nats-key are for TLS: write --nats-url {SCHEME}HOST:PORT")
        return Papers(**{name: path.read_bytes() for name, path in named.items() if path})


NO_OPTIONS = PaperOptions()

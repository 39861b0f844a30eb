"""Options of `fleetlb node bootstrap` that say what carries the traffic of the host."""

import ipaddress
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from fleetlb.domain.capabilities import EngineName

HTTP_ADDRESSES = {EngineName.IPVS: "0.0.0.0:8080", EngineName.ENVOY: "127.0.0.1:8080"}
"""What listens on every address of an Envoy's host also takes that port of every VIP."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """Options of what carries the traffic."""

    engine: Annotated[EngineName, Parameter(help="What carries the traffic, as in the BalancerGroup.")] = (
        EngineName.IPVS
    )
    pool: Annotated[
        tuple[str, ...],
        Parameter(help="envoy: a pool's network, to be taken for the host's own; may be repeated.", negative=()),
    ] = ()
    http_address: Annotated[
        str,
        Parameter(help="Where it shows /metrics and /readyz; with envoy, not on every address.", show_default=False),
    ] = ""

    def check(self) -> None:
        """Raises ValueError, naming the option and the cure."""
        for network in self.pool:
            try:
                ipaddress.ip_network(network)
            except ValueError as problem:
                raise ValueError(f"--pool {problem}") from None
        if self.pool and self.engine is not EngineName.ENVOY:
            raise ValueError("--pool is for --engine envoy: on ipvs the programmer keeps the routes itself")
        if self.engine is EngineName.ENVOY and self.http_address.startswith(("0.0.0.0:", "[::]:")):
            raise ValueError(
                f"--http-address {self.http_address} would take that port of every VIP: name an address of the host"
            )


AS_USUAL = HostOptions()

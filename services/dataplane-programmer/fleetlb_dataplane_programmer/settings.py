"""What the dataplane-programmer is told by its environment. Must not read it."""

from pathlib import Path
from typing import Annotated, Any

from fleetlb.contracts import subjects
from fleetlb.domain.capabilities import EngineName
from fleetlb.runtime.settings import PREFIX, ProcessSettings, setting
from fleetlb.runtime.signing import check_public_key
from fleetlb_dataplane_programmer.envoy.bootstrap import bootstrap


class Settings(ProcessSettings, frozen=True, kw_only=True):
    """Settings of one balancer node."""

    nats_url: Annotated[str, setting("where NATS is, such as nats://nats:4222; several with commas")]
    nats_creds: Annotated[Path, setting("file with the NATS credentials of this node")]
    nats_operator_key: Annotated[
        str,
        setting(
            "public key of NATS' operator (O…), with whose seed the manager signs what tenants may have: nothing new is"
            " served of a tenant without it. Unset: it is believed unsigned, and a tenant without it is held to nothing"
        ),
    ] = ""
    node: Annotated[str, setting("name of this balancer node, as in its BalancerGroup")]
    group: Annotated[str, setting("name of the BalancerGroup of this node")] = "default"
    state_dir: Annotated[Path, setting("directory of the state file; it must survive a restart of the node")]
    engine: Annotated[EngineName, setting("envoy or ipvs: what carries the traffic, as in the BalancerGroup")] = (
        EngineName.ENVOY
    )
    ads_socket: Annotated[
        Path | None, setting("envoy: unix socket where Envoy gets its configuration; at most 107 bytes long")
    ] = None
    envoy_admin: Annotated[
        str, setting("envoy: Envoy's admin interface, path of a unix socket or host:port on the loopback")
    ] = ""
    manage_sysctls: Annotated[
        bool, setting("ipvs: set the kernel's switches that forwarding needs; otherwise they are only checked")
    ] = True
    max_maglev_servers: Annotated[
        int, setting("ipvs: virtual servers with scheduler mh, of which each costs 41 KiB of kernel memory")
    ] = 1000
    allow_loopback_backends: Annotated[
        bool, setting("serve and forward to loopback addresses; only for a fleet on one machine")
    ] = False

    def problems(self) -> list[str]:
        """What no type can say."""
        found = super().problems()
        for variable, name in (("NODE", self.node), ("GROUP", self.group)):
            try:
                subjects.token(name)
            except ValueError as problem:
                found.append(f"{PREFIX}{variable} is wrong: {problem}")
        if self.nats_operator_key:
            try:
                check_public_key(self.nats_operator_key)
            except ValueError as problem:
                found.append(f"{PREFIX}NATS_OPERATOR_KEY is wrong: {problem}")
        if self.max_maglev_servers < 0:
            found.append(f"{PREFIX}MAX_MAGLEV_SERVERS={self.max_maglev_servers} is wrong: 0 or more")
        return found + (self._envoy_problems() if self.engine is EngineName.ENVOY else [])

    def envoy_bootstrap(self) -> dict[str, Any]:
        """The configuration with which this node's Envoy must be started. Raises ValueError."""
        if self.ads_socket is None:
            raise ValueError("the ADS socket is not set")
        return bootstrap(node=self.node, group=self.group, ads_socket=self.ads_socket, admin=self.envoy_admin)

    def _envoy_problems(self) -> list[str]:
        needed = (("ADS_SOCKET", self.ads_socket), ("ENVOY_ADMIN", self.envoy_admin))
        missing = [f"{PREFIX}{name} is missing: the engine envoy needs it" for name, value in needed if not value]
        if missing:
            return missing
        try:
            self.envoy_bootstrap()
        except ValueError as problem:
            return [f"{PREFIX}ENVOY_ADMIN={self.envoy_admin!r} is wrong: {problem}"]
        return []

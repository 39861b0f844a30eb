"""What the dataplane-programmer is told by its environment. Must not read it."""

from pathlib import Path
from typing import Annotated, Any

from fleetlb.contracts import subjects
from fleetlb.runtime.settings import PREFIX, ProcessSettings, setting
from fleetlb_dataplane_programmer.envoy.bootstrap import bootstrap


class Settings(ProcessSettings, frozen=True, kw_only=True):
    """Settings of one balancer node."""

    nats_url: Annotated[str, setting("where NATS is, such as nats://nats:4222; several with commas")]
    nats_creds: Annotated[Path, setting("file with the NATS credentials of this node")]
    node: Annotated[str, setting("name of this balancer node, as in its BalancerGroup")]
    group: Annotated[str, setting("name of the BalancerGroup of this node")] = "default"
    state_dir: Annotated[Path, setting("directory of the state file; it must survive a restart of the node")]
    ads_socket: Annotated[Path, setting("unix socket where Envoy gets its configuration; at most 107 bytes long")]
    envoy_admin: Annotated[str, setting("Envoy's admin interface: path of a unix socket, or host:port on the loopback")]
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
        try:
            self.envoy_bootstrap()
        except ValueError as problem:
            found.append(f"{PREFIX}ENVOY_ADMIN={self.envoy_admin!r} is wrong: {problem}")
        return found

    def envoy_bootstrap(self) -> dict[str, Any]:
        """The configuration with which this node's Envoy must be started."""
        return bootstrap(node=self.node, group=self.group, ads_socket=self.ads_socket, admin=self.envoy_admin)

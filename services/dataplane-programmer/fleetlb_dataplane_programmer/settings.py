"""What the dataplane-programmer is told by its environment. Must not read it."""

from pathlib import Path
from typing import Annotated, Any

from fleetlb.contracts import subjects
from fleetlb.domain.capabilities import EngineName
from fleetlb.runtime.connection import Dialling
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.runtime.nats_settings import NatsSettings
from fleetlb.runtime.settings import PREFIX, setting
from fleetlb.runtime.signing import check_public_key
from fleetlb_dataplane_programmer.envoy.bootstrap import bootstrap
from fleetlb_dataplane_programmer.layer2.link import check_name

MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 0.5, 60.0


def _unfit(interfaces: tuple[str, ...]) -> list[str]:
    """What is wrong with names of interfaces."""
    found = []
    for name in interfaces:
        try:
            check_name(name)
        except ValueError as problem:
            found.append(str(problem))
    return found


class Settings(NatsSettings, frozen=True, kw_only=True):
    """Settings of one balancer node."""

    nats_operator_key: Annotated[
        str,
        setting(
            "public key of NATS' operator (O…), with whose seed the manager signs what tenants may have and what nodes"
            " are to do: nothing new is served of a tenant without it, and nobody else has the node emptied or speak"
            " BGP. Unset: both are believed unsigned, and a tenant of which nothing is said is held to nothing"
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
    layer2_interfaces: Annotated[
        tuple[str, ...],
        setting(
            "ipvs: the interfaces on which this node answers ARP and neighbour solicitations for VIPs of pools with"
            " announcement layer2; unset: it answers for none"
        ),
    ] = ()
    layer2_lease_seconds: Annotated[
        float,
        setting(
            "ipvs: for how long after its last sign of life a node may answer for VIPs on layer 2, 0.5 to 60; the same"
            " on all nodes of a group. Short: another takes over sooner. Long: a slow NATS takes nothing away"
        ),
    ] = 1.5
    layer2_probes: Annotated[
        bool,
        setting(
            "ipvs: call VIPs that other nodes of the group announce on layer 2, over the first of the interfaces, and"
            " say which of them do not answer: they do not serve, then"
        ),
    ] = True
    bird_socket: Annotated[
        Path | None,
        setting(
            "ipvs: control socket of this node's BIRD, which tells routers of VIPs of pools with announcement bgp what"
            " the BalancerGroup says; unset: none is told"
        ),
    ] = None
    bird_directory: Annotated[
        Path | None,
        setting(
            "ipvs: the directory of which BIRD includes *.conf, and where this node writes two files; below /run,"
            " which a reboot empties, or BIRD then announces VIPs that are not programmed yet"
        ),
    ] = None
    bgp_passwords: Annotated[
        Path | None, setting("ipvs: the directory of the files that passwordFile of a BGP peer names")
    ] = None
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
        if not MIN_LEASE_SECONDS <= self.layer2_lease_seconds <= MAX_LEASE_SECONDS:
            wanted = f"{MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS:g}"
            found.append(f"{PREFIX}LAYER2_LEASE_SECONDS={self.layer2_lease_seconds} is wrong: {wanted}")
        if self.layer2_interfaces and self.engine is not EngineName.IPVS:
            found.append(f"{PREFIX}LAYER2_INTERFACES is set: only the engine ipvs announces VIPs; unset it")
        found += [f"{PREFIX}LAYER2_INTERFACES is wrong: {problem}" for problem in _unfit(self.layer2_interfaces)]
        found += self._bird_problems()
        return found + (self._envoy_problems() if self.engine is EngineName.ENVOY else [])

    def dialling(self, purpose: str = "") -> Dialling:
        """How this node reaches NATS, for a purpose that NATS is told."""
        return Dialling(
            url=self.nats_url,
            name=f"fleetlb-dataplane-programmer {self.node} {purpose}".rstrip(),
            creds=Keyring(self.nats_creds),
            tls=self.nats_tls,
            inbox_prefix=subjects.node_inbox(self.group, self.node),
        )

    def envoy_bootstrap(self) -> dict[str, Any]:
        """The configuration with which this node's Envoy must be started. Raises ValueError."""
        if self.ads_socket is None:
            raise ValueError("the ADS socket is not set")
        return bootstrap(node=self.node, group=self.group, ads_socket=self.ads_socket, admin=self.envoy_admin)

    def _bird_problems(self) -> list[str]:
        names = ("BIRD_SOCKET", "BIRD_DIRECTORY", "BGP_PASSWORDS")
        given = dict(zip(names, (self.bird_socket, self.bird_directory, self.bgp_passwords), strict=True))
        found = []
        if self.bird_socket is not None and self.engine is not EngineName.IPVS:
            found.append(f"{PREFIX}BIRD_SOCKET is set: only the engine ipvs announces VIPs; unset it")
        if self.bird_socket is not None and self.bird_directory is None:
            found.append(f"{PREFIX}BIRD_DIRECTORY is missing: BIRD_SOCKET needs it")
        for name, path in given.items():
            if path is not None and self.bird_socket is None:
                found.append(f"{PREFIX}{name} is set, and {PREFIX}BIRD_SOCKET is not: set both, or unset it")
            if path is not None and not path.is_absolute():
                found.append(f"{PREFIX}{name}={str(path)!r} is wrong: an absolute path")
        return found

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

"""What the manager can be told by its environment. Pools, groups, tenants and quotas are objects, not settings."""

from pathlib import Path
from typing import Annotated

import msgspec

from fleetlb.domain.annotation_policy import AnnotationPolicy, parse_policy
from fleetlb.domain.partitions import MAX_PARTITIONS
from fleetlb.runtime.nats_settings import StreamKeeperSettings
from fleetlb.runtime.settings import variable_of
from fleetlb_manager.credential_terms import DEFAULT_LIFE_SECONDS


class ManagerSettings(StreamKeeperSettings, frozen=True, kw_only=True):
    """The manager's settings."""

    nats_system_creds: Annotated[
        Path, msgspec.Meta(description="path of the system account's credentials file, to push tenants' accounts")
    ]
    nats_operator_seed: Annotated[
        Path, msgspec.Meta(description="path of the file with the operator's seed, which signs tenants' accounts")
    ]
    nats_hub_account: Annotated[
        str, msgspec.Meta(description="public key of the hub account (A…)", pattern="^A[A-Z2-7]{55}$")
    ]
    kubeconfig: Annotated[
        Path | None, msgspec.Meta(description="path of the management cluster's kubeconfig; in a pod it is not needed")
    ] = None
    system_namespace: Annotated[
        str, msgspec.Meta(description="namespace of the Leases and of the tenants' account seeds")
    ] = "fleetlb-system"
    partitions: Annotated[
        int,
        msgspec.Meta(
            description="how many Leases the tenants are divided between; the same for every manager of a fleet",
            ge=1,
            le=MAX_PARTITIONS,
        ),
    ] = 1
    allow_loopback_backends: Annotated[
        bool, msgspec.Meta(description="true lets tenants have backends on loopback: for a fleet on one machine only")
    ] = False
    credentials_seconds: Annotated[
        int,
        msgspec.Meta(
            description="how long a tenant's credentials are good, in seconds; watchers renew them at half of it", ge=10
        ),
    ] = DEFAULT_LIFE_SECONDS
    annotations_allow: Annotated[
        tuple[str, ...] | None,
        msgspec.Meta(description="annotations that tenants may use; unset: all"),
    ] = None
    annotations_deny: Annotated[
        tuple[str, ...], msgspec.Meta(description="annotations that tenants may not use, unless one is allowed by name")
    ] = ()
    annotations_default: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="what holds where nobody says anything, such as pool=gold,scheduler=rr"),
    ] = ()

    def rules(self) -> AnnotationPolicy:
        """The fleet's rules about annotations. Raises ValueError naming the variable."""
        defaults = dict(entry.partition("=")[::2] for entry in self.annotations_default)
        return parse_policy(self.annotations_allow, self.annotations_deny, defaults, called=_variable)

    def problems(self) -> list[str]:
        """What is wrong beyond each setting by itself."""
        try:
            self.rules()
        except ValueError as problem:
            return [*super().problems(), str(problem)]
        return super().problems()


def _variable(field: str) -> str:
    return variable_of(f"annotations_{field}")

"""All checks on one picture, and what of two pictures lasts. Pure.

A fleet is never still: an object is written before a message about it, a node answers later. So only what is found in
two pictures, some seconds apart, is called a finding.
"""

from collections.abc import Iterable

from fleetlb_cli.audit import addresses, serving
from fleetlb_cli.audit.picture import Finding, Picture

CHECKED = ("A1", "A2", "A3", "A6", "A7", "A8", "A9", "P1", "P9", "T2", "T3", "T6", "T8", "V10")


def judge(picture: Picture, *, allow_loopback: bool = False) -> list[Finding]:
    """What does not hold in a picture, in order."""
    return sorted(
        {
            *addresses.one_owner(picture),
            *addresses.one_tenant(picture),
            *addresses.known_names(picture),
            *addresses.counts_are_true(picture),
            *addresses.released_first(picture),
            *addresses.no_leak(picture),
            *addresses.usage_is_true(picture),
            *serving.every_entry_is_owed(picture),
            *serving.read_back_as_asked(picture),
            *serving.only_the_tenants_nodes(picture, allow_loopback=allow_loopback),
            *serving.at_home(picture),
            *serving.readable(picture),
            *serving.the_truth_is_told(picture),
        }
    )


def lasting(first: Iterable[Finding], second: Iterable[Finding]) -> list[Finding]:
    """What was found both times about the same thing, in the later words."""
    before = {(finding.invariant, finding.about) for finding in first}
    return [finding for finding in second if (finding.invariant, finding.about) in before]

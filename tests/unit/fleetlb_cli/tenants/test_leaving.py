import pytest

from fleetlb_cli.tenants.failures import Failed
from fleetlb_cli.tenants.judging import Outlook, Removal
from fleetlb_cli.tenants.leaving import told


def test_a_tenant_that_is_gone_is_said_to_be() -> None:
    assert told("acme", Outlook(Removal.GONE), True, 5).startswith("tenant acme is removed")


def test_without_waiting_a_removal_that_has_begun_is_enough() -> None:
    assert told("acme", Outlook(Removal.GOING_ON, "m"), False, 5) == "tenant acme is being removed: m"


@pytest.mark.parametrize(
    ("removal", "wait", "text"),
    [
        (Removal.UNCONFIRMED, True, "but nothing is cut: m; or: fleetlb tenant remove acme --confirm acme"),
        (Removal.UNCONFIRMED, False, "but nothing is cut: m; or: fleetlb tenant remove acme --confirm acme"),
        (Removal.GOING_ON, True, "not gone after 5 s: m; its removal goes on by itself"),
        (Removal.UNSAID, False, "not gone after 5 s: m; its removal goes on by itself"),
    ],
)
def test_otherwise_it_is_not_as_asked(removal: Removal, wait: bool, text: str) -> None:
    with pytest.raises(Failed) as caught:
        told("acme", Outlook(removal, "m"), wait, 5)
    assert text in str(caught.value)

"""What an interface's VIPs may be called. All else needs a link: tests/ipvs/test_layer2.py."""

import pytest

from fleetlb_dataplane_programmer.layer2.interface import Layer2Interface


def test_what_no_interface_is_called_is_refused() -> None:
    with pytest.raises(ValueError, match="all"):
        Layer2Interface("all", may_answer=lambda: True)


@pytest.mark.parametrize("address", ["10.77.0", "fe80::1%eth0", "::ffff:10.77.0.1", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    interface = Layer2Interface("eth0", may_answer=lambda: True)
    with pytest.raises(ValueError, match="address"):
        interface.own(address)
    with pytest.raises(ValueError, match="address"):
        interface.disown(address)

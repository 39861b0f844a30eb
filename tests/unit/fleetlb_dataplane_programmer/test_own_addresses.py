from fleetlb_dataplane_programmer.own_addresses import own_addresses


async def test_the_loopback_is_always_ones_own_and_no_documentation_address_is() -> None:
    found = await own_addresses()
    assert "127.0.0.1" in found
    assert "203.0.113.77" not in found

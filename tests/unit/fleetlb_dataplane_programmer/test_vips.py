from msgspec.structs import replace

from fleetlb.domain.virtual_servers import Announcement, FailurePolicy, VirtualServer
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.vips import Step, Vips

WEB, ADMIN = a_virtual_server("192.0.2.1:443/tcp"), a_virtual_server("192.0.2.1:80/tcp")


def programmed(vips: Vips, server: VirtualServer) -> bool:
    """Whether it is announced when it is programmed."""
    step = vips.note_programmed(server)
    assert step is not Step.WITHDRAW
    vips.note_announced(server)
    return step is Step.ANNOUNCE


def test_P4_a_vip_is_announced_once_with_its_first_usable_virtual_server() -> None:
    vips = Vips()
    assert not programmed(vips, a_virtual_server("192.0.2.1:443/tcp", []))
    assert programmed(vips, WEB)
    assert not programmed(vips, WEB)
    assert not programmed(vips, ADMIN)
    assert programmed(vips, a_virtual_server("192.0.2.2:443/tcp"))


def test_P4_a_vip_is_withdrawn_with_its_last_virtual_server() -> None:
    vips = Vips()
    programmed(vips, WEB)
    programmed(vips, ADMIN)
    assert not vips.leave(WEB.key)
    assert vips.leave(ADMIN.key)
    assert vips.leave(ADMIN.key), "asked again, because the first time failed"
    assert programmed(vips, WEB), "it comes back"


def test_P4_a_vip_is_announced_anew_though_its_last_virtual_server_is_not_yet_gone() -> None:
    vips = Vips()
    programmed(vips, WEB)
    assert vips.leave(WEB.key)
    assert programmed(vips, ADMIN)
    assert not vips.leave(WEB.key), "asked again: the other keeps it"


def test_a_vip_without_real_servers_stays_announced() -> None:
    vips = Vips()
    programmed(vips, WEB)
    programmed(vips, a_virtual_server("192.0.2.1:443/tcp", []))
    assert not programmed(vips, ADMIN)


def test_a_vip_that_could_not_be_announced_is_announced_again() -> None:
    vips = Vips()
    assert vips.note_programmed(WEB) is Step.ANNOUNCE
    assert vips.note_programmed(WEB) is Step.ANNOUNCE
    vips.note_announced(WEB)
    assert vips.note_programmed(WEB) is Step.NOTHING


def test_a_vip_whose_pool_announces_otherwise_is_announced_anew() -> None:
    vips, by_bgp = Vips(), replace(WEB, announcement=Announcement.BGP)
    assert programmed(vips, WEB)
    assert programmed(vips, by_bgp)
    assert not programmed(vips, by_bgp)


def test_a_vip_whose_pool_has_another_network_is_announced_anew() -> None:
    vips, wider = Vips(), replace(WEB, prefix="192.0.2.0/23")
    assert programmed(vips, WEB)
    assert programmed(vips, wider)
    assert not programmed(vips, wider)


def test_a_vip_whose_pool_has_attributes_of_its_own_is_announced_anew() -> None:
    vips, own = Vips(), replace(WEB, attributes_pool="gold")
    assert programmed(vips, WEB)
    assert programmed(vips, own)
    assert not programmed(vips, own)


def test_what_left_meanwhile_is_not_announced() -> None:
    vips = Vips()
    vips.note_programmed(WEB)
    vips.leave(WEB.key)
    vips.note_announced(WEB)
    assert vips.note_programmed(WEB) is Step.ANNOUNCE


def closed(key: str, *, usable: bool = True) -> VirtualServer:
    """Of a tenant that would rather have none than dead ones."""
    server = a_virtual_server(key) if usable else a_virtual_server(key, [])
    return replace(server, failure_policy=FailurePolicy.CLOSED)


def test_a_vip_is_withdrawn_without_real_servers_if_its_tenant_wants_that() -> None:
    vips = Vips()
    assert vips.note_programmed(closed("192.0.2.1:443/tcp", usable=False)) is Step.NOTHING, "it never was announced"
    programmed(vips, closed("192.0.2.1:443/tcp"))
    programmed(vips, closed("192.0.2.1:80/tcp"))
    assert vips.note_programmed(closed("192.0.2.1:80/tcp", usable=False)) is Step.NOTHING, "the other keeps it"
    assert vips.note_programmed(closed("192.0.2.1:443/tcp", usable=False)) is Step.WITHDRAW
    assert vips.note_programmed(closed("192.0.2.1:443/tcp", usable=False)) is Step.WITHDRAW, "the first time failed"
    vips.note_withdrawn("192.0.2.1")
    assert vips.note_programmed(closed("192.0.2.1:80/tcp", usable=False)) is Step.NOTHING
    assert programmed(vips, closed("192.0.2.1:80/tcp")), "it comes back"


def test_what_could_not_be_withdrawn_before_it_came_back_is_announced_anew() -> None:
    vips = Vips()
    programmed(vips, closed("192.0.2.1:443/tcp"))
    assert vips.note_programmed(closed("192.0.2.1:443/tcp", usable=False)) is Step.WITHDRAW
    assert programmed(vips, closed("192.0.2.1:443/tcp"))
    assert vips.note_programmed(closed("192.0.2.1:443/tcp")) is Step.NOTHING

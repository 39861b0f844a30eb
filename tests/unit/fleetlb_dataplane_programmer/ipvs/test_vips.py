from fleetlb.domain.virtual_servers import parse_key
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.ipvs.vips import Vips

WEB, ADMIN = a_virtual_server("192.0.2.1:443/tcp"), a_virtual_server("192.0.2.1:80/tcp")


def test_P4_a_vip_is_announced_once_with_its_first_usable_virtual_server() -> None:
    vips = Vips()
    assert not vips.note_programmed(a_virtual_server("192.0.2.1:443/tcp", []))
    assert vips.note_programmed(WEB)
    assert not vips.note_programmed(WEB)
    assert not vips.note_programmed(ADMIN)
    assert vips.note_programmed(a_virtual_server("192.0.2.2:443/tcp"))


def test_P4_a_vip_is_withdrawn_with_its_last_virtual_server() -> None:
    vips = Vips()
    vips.note_programmed(WEB)
    vips.note_programmed(ADMIN)
    assert not vips.is_last(WEB.key)
    vips.note_removed(WEB.key)
    assert vips.is_last(ADMIN.key)
    vips.note_removed(ADMIN.key)
    assert not vips.is_last(ADMIN.key)
    assert vips.note_programmed(WEB), "it comes back"


def test_a_vip_without_real_servers_stays_announced() -> None:
    vips = Vips()
    vips.note_programmed(WEB)
    vips.note_programmed(a_virtual_server("192.0.2.1:443/tcp", []))
    assert vips.is_last(parse_key("192.0.2.1:443/tcp"))

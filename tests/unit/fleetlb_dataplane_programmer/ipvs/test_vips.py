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
    assert not vips.leave(WEB.key)
    assert vips.leave(ADMIN.key)
    assert vips.leave(ADMIN.key), "asked again, because the first time failed"
    assert vips.note_programmed(WEB), "it comes back"


def test_P4_a_vip_is_announced_anew_though_its_last_virtual_server_is_not_yet_gone() -> None:
    vips = Vips()
    vips.note_programmed(WEB)
    assert vips.leave(WEB.key)
    assert vips.note_programmed(ADMIN)
    assert not vips.leave(WEB.key), "asked again: the other keeps it"


def test_a_vip_without_real_servers_stays_announced() -> None:
    vips = Vips()
    vips.note_programmed(WEB)
    vips.note_programmed(a_virtual_server("192.0.2.1:443/tcp", []))
    assert not vips.note_programmed(ADMIN)

from fleetlb.domain.virtual_servers import parse_key
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.standing import Standing

WEB, SECURE = parse_key("192.0.2.1:80/tcp"), parse_key("192.0.2.1:443/tcp")
DIALLING_IT = a_virtual_server("192.0.2.2:80/tcp", ["10.0.0.1:31000", "192.0.2.1:31000"])


def test_keys_stand_for_their_tenant_until_they_are_dropped_or_change_hands() -> None:
    standing = Standing()
    standing.put(WEB, "acme")
    standing.put(SECURE, "acme")
    standing.put(WEB, "acme")
    assert standing.of("acme") == [WEB, SECURE]
    standing.put(WEB, "globex")
    assert (standing.of("acme"), standing.of("globex")) == ([SECURE], [WEB])
    standing.drop(WEB)
    standing.drop(WEB)
    assert standing.of("globex") == []


def test_an_address_is_a_vip_while_any_of_its_ports_stands() -> None:
    standing = Standing()
    assert standing.objection_to(DIALLING_IT) == ""
    standing.put(WEB, "acme")
    standing.put(SECURE, "globex")
    standing.drop(WEB)
    assert "192.0.2.1 port 31000: it is a VIP" in standing.objection_to(DIALLING_IT)
    standing.drop(SECURE)
    assert standing.objection_to(DIALLING_IT) == ""


def test_the_keys_of_an_address_are_those_that_stand() -> None:
    standing = Standing()
    standing.put(WEB, "acme")
    standing.put(SECURE, "globex")
    standing.put(WEB, "acme")
    assert (standing.on("192.0.2.1"), standing.on("192.0.2.2")) == ((WEB, SECURE), ())
    standing.drop(WEB)
    assert standing.on("192.0.2.1") == (SECURE,)
    standing.drop(SECURE)
    assert standing.on("192.0.2.1") == ()

from pathlib import Path

from msgspec import structs

from fleetlb.runtime.nats_config import ServerConfig, ServerTls, server_config

SAMPLE = ServerConfig(
    name="hub", operator_jwt="OP.JWT", system_account="ASYS", accounts={"ASYS": "SYS.JWT", "AHUB": "HUB.JWT"},
    directory=Path('/data/na"ts'),
)  # fmt: skip


def test_the_text_holds_what_was_given() -> None:
    text = server_config(SAMPLE)
    for line in (
        'server_name: "hub"',
        "port: -1",
        "operator: OP.JWT",
        "system_account: ASYS",
        "  AHUB: HUB.JWT",
        "  type: full",
        r'  store_dir: "/data/na\"ts/jetstream"',
        r'  dir: "/data/na\"ts/accounts"',
        "  max_memory_store: 1099511627776",
        "  max_file_store: 1099511627776",
    ):
        assert line in text.splitlines()
    assert "http:" not in text
    assert "sync_interval" not in text


def test_options_appear_when_asked_for() -> None:
    wished = ServerConfig(
        name="hub", operator_jwt="J", system_account="A", accounts={}, directory=Path("/d"), port=4222,
        monitor_port=8222, ports_directory=Path("/p"), sync_always=True,
    )  # fmt: skip
    text = server_config(wished).splitlines()
    for line in ("port: 4222", 'http: "127.0.0.1:8222"', 'ports_file_dir: "/p"', "  sync_interval: always"):
        assert line in text


def test_what_could_let_a_tenant_in_by_a_back_door_is_never_written() -> None:
    text = server_config(SAMPLE)
    for feature in ("leafnodes", "mqtt", "websocket", "no_auth_user", "gateway"):
        assert feature not in text


def test_a_server_with_tls_says_whom_it_lets_in() -> None:
    papers = ServerTls(cert=Path("/t/tls.crt"), key=Path("/t/tls.key"))
    text = server_config(structs.replace(SAMPLE, tls=papers))
    assert 'cert_file: "/t/tls.crt"' in text
    assert "verify" not in text
    text = server_config(structs.replace(SAMPLE, tls=structs.replace(papers, ca=Path("/t/ca.crt"))))
    assert '  ca_file: "/t/ca.crt"\n  verify: true\n' in text

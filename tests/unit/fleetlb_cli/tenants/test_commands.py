import pytest

from fleetlb_cli.__main__ import app


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["create", "acme"], "--node-cidr"),
        (["create", "acme", "--node-cidr", "10.1.0.0/16", "--ports", "-1"], "--ports"),
        (["join", "acme"], "--nats-url"),
        (["join", "acme", "--nats-url", "hub"], "--nats-url hub: write nats://HOST:PORT"),
        (["rotate", "acme", "--notice", "0"], "--notice"),
        (["rotate", "acme", "--now", "--notice", "5"], "--now gives no notice"),
        (
            ["remove", "acme", "--confirm", "globex"],
            "--confirm globex: to confirm it, write the tenant's own name, acme",
        ),
        (["list", "-o", "yaml"], "-o"),
        (["show"], "NAME"),
        (["list", "--kubeconfig", "/none"], "there is no file /none"),
    ],
)
def test_usage_errors_name_what_is_wrong(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        app(["tenant", *arguments])
    assert caught.value.code == 2
    assert text in capsys.readouterr().err

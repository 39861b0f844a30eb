"""Usage errors and refusals of `fleetlb local`; what a running fleet does is tested with one."""

import os
from pathlib import Path

import pytest

from fleetlb_cli.local.commands import app


def code_of(*words: str) -> object:
    with pytest.raises(SystemExit) as caught:
        app(words)
    return caught.value.code


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--no-such-option"),
        ("up", "acme"),
        ("up", "--tenants", "Not_A_Name"),
        ("up", "--node-cidr", "127.9.0.0/16"),
        ("up", "--node-cidr", "nobody=127.9.0.0/16"),
        ("up", "--pool-cidr", "300.0.0.0/8"),
        ("up", "--pool-cidr", "127.9.0.0/24", "--pool-cidr", "127.8.0.0/24"),
        ("up", "--node-cidr", "acme=fd01::/64", "--node-cidr", "acme=fd02::/64"),
        ("up", "--engine", "haproxy"),
        ("up", "--engine", "ipvs", "--pool-cidr", "127.9.0.0/24"),
        ("up", "--pod-cidr", "10.9.0.0/24"),
        ("up", "--pod-cidr", "nobody=10.9.0.0/24"),
        ("up", "--pod-cidr", "acme=10.9.0.1/24"),
        ("up", "--attach", "acme"),
        ("up", "--attach", "acme=here", "--attach", "acme=there"),
        ("up", "--attach", "acme=/no/such/file", "--pool-cidr", "10.9.0.0/24", "--node-cidr", "acme=10.8.0.0/24"),
        ("up", "--forwarding", "ipip"),
        ("up", "--forwarding", "by-pigeon"),
        ("up", "--replicas", "none"),
        ("up", "--timeout", "soon"),
        ("kill",),
        ("no-such-verb",),
    ],
)
def test_usage_errors_are_2(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert code_of(*words) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("--ipv6",), ("--pool-cidr", "fd09::/64"), ("--node-cidr", "acme=fd09::/64")])
def test_ipv6_needs_root(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert code_of("up", *words, "--state", str(tmp_path / "state")) == 2
    assert "--ipv6 needs root" in capsys.readouterr().err


def test_attaching_needs_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch()
    ranges = ("--pool-cidr", "10.9.0.0/24", "--node-cidr", "acme=10.8.0.0/24")
    assert code_of("up", "--attach", f"acme={kubeconfig}", *ranges, "--state", str(tmp_path / "state")) == 2
    assert "--attach needs root" in capsys.readouterr().err


def test_the_kernels_engine_needs_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert code_of("up", "--engine", "ipvs", "--detach", "--state", str(tmp_path / "state")) == 1
    assert "error: --engine ipvs: it needs root" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["kill", "stop", "start", "restart"])
def test_verbs_need_a_running_fleet(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(verb, "manager", "--state", str(tmp_path)) == 1
    assert "no fleet runs" in capsys.readouterr().err


def test_down_of_a_folder_that_never_was(tmp_path: Path) -> None:
    assert code_of("down", "--state", str(tmp_path / "none")) == 1


def test_setup_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "environ", {"FLEETLB_CONTROLPLANE": "/no/such/file"})
    assert code_of("setup") == 1
    assert "FLEETLB_CONTROLPLANE=/no/such/file" in capsys.readouterr().err

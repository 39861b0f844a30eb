from pathlib import Path

import pytest

from fleetlb.runtime.nats_tls import NO_FILES, TlsFiles
from fleetlb_cli.reaching import find_target

VARIABLES = ("KUBECONFIG", "FLEETLB_NATS_URL", "FLEETLB_NATS_CREDS", "FLEETLB_NATS_TLS_CA", "FLEETLB_NATS_TLS_CERT")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files to name, and an environment that names none."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for name in ("kubeconfig", "other", "creds"):
        (tmp_path / name).touch()
    return tmp_path


def test_what_is_not_given_is_taken_from_the_environment(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(place / "kubeconfig"))
    monkeypatch.setenv("FLEETLB_NATS_URL", "tls://hub:4222")
    monkeypatch.setenv("FLEETLB_NATS_CREDS", str(place / "creds"))
    monkeypatch.setenv("FLEETLB_NATS_TLS_CA", str(place / "ca.crt"))
    found = find_target(None, None, None, None)
    assert (found.kubeconfig, found.nats_url, found.nats_creds) == (
        place / "kubeconfig",
        "tls://hub:4222",
        place / "creds",
    )
    assert found.nats_tls == TlsFiles(ca=place / "ca.crt")
    assert find_target(place / "other", "tls://given:4222", None, None)[:2] == (place / "other", "tls://given:4222")


def test_without_any_of_it_the_options_are_named(place: Path) -> None:
    assert find_target(place / "kubeconfig", "nats://hub:4222", place / "creds", None).nats_tls == NO_FILES
    with pytest.raises(ValueError, match="--nats-url"):
        find_target(place / "kubeconfig", None, place / "creds", None)


def test_tls_that_cannot_be_meant_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETLB_NATS_TLS_CERT", str(place / "tls.crt"))
    with pytest.raises(ValueError, match=r"without FLEETLB_NATS_TLS_KEY.*write tls://"):
        find_target(place / "kubeconfig", "nats://hub:4222", place / "creds", None)

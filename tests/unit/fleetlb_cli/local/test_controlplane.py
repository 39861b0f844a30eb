"""Finding, naming and building the control plane; the compiler is a small script."""

import os
import stat
from pathlib import Path

import pytest

from fleetlb_cli.local import controlplane
from fleetlb_cli.local.controlplane import ControlPlaneError

GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.26.8; exit 0; fi
echo "compiling with $CGO_ENABLED"
[ -e {folder}/broken ] && {{ echo "main.go:1: no such thing"; exit 3; }}
while [ "$1" != -o ]; do shift; done
echo built > "$2"
echo run >> {folder}/runs
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("main.go", "go.mod", "go.sum"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    tools = tmp_path / "tools"
    tools.mkdir()
    executable(tools / "go", GO.format(folder=tmp_path))
    return {"PATH": f"{tools}:{os.defpath}", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_source_of_this_checkout_is_found() -> None:
    assert (controlplane.source_folder() / "main.go").is_file()


def test_a_binary_may_be_named(tmp_path: Path) -> None:
    binary = executable(tmp_path / "binary")
    found = controlplane.provided({"FLEETLB_CONTROLPLANE": str(binary)})
    assert found is not None
    assert found.command("etcd") == (str(binary), "etcd")


def test_a_named_binary_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ControlPlaneError, match=r"FLEETLB_CONTROLPLANE=.*nothing is not an executable file"):
        controlplane.provided({"FLEETLB_CONTROLPLANE": str(tmp_path / "nothing")})


def test_a_folder_of_binaries_may_be_named_even_without_controllers(tmp_path: Path) -> None:
    for part in ("etcd", "kube-apiserver"):
        executable(tmp_path / part)
    found = controlplane.provided({"KUBEBUILDER_ASSETS": str(tmp_path)})
    assert found is not None
    assert found.command("etcd") == (str(tmp_path / "etcd"),)
    assert not found.has("kube-controller-manager")


def test_a_folder_without_an_api_server_is_refused(tmp_path: Path) -> None:
    executable(tmp_path / "etcd")
    with pytest.raises(ControlPlaneError, match="holds no kube-apiserver"):
        controlplane.provided({"KUBEBUILDER_ASSETS": str(tmp_path)})


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/home/me"}, "/x/fleetlb"),
        ({"HOME": "/home/me"}, "/home/me/.cache/fleetlb"),
    ],
)
def test_the_cache_is_the_users(environ: dict[str, str], folder: str) -> None:
    assert controlplane.cache_folder(environ) == Path(folder)


def test_the_fingerprint_follows_the_source_alone(source: Path) -> None:
    before = controlplane.fingerprint(source)
    (source / "README.md").write_text("not built")
    assert controlplane.fingerprint(source) == before
    (source / "main.go").write_text("something else")
    assert controlplane.fingerprint(source) != before


def test_it_is_built_once_and_leaves_only_the_binary(source: Path, environ: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []
    first = controlplane.ensure(environ, said.append, source)
    second = controlplane.ensure(environ, said.append, source)
    assert first == second
    assert (tmp_path / "runs").read_text() == "run\n"
    names = sorted(path.name for path in (tmp_path / "cache" / "fleetlb").iterdir())
    binary = f"controlplane-{controlplane.fingerprint(source)}"
    assert names == [binary, f"{binary}.lock"]
    assert any("building the control plane" in line for line in said)


def test_a_failed_build_shows_the_compilers_last_words(source: Path, environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(ControlPlaneError, match=r"exit code 3 .*\n(.*\n)*main.go:1: no such thing"):
        controlplane.ensure(environ, print, source)
    assert not list((tmp_path / "cache" / "fleetlb").glob("*.tmp"))
    (tmp_path / "broken").unlink()
    controlplane.ensure(environ, print, source)  # and it can be tried again

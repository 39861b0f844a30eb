from pathlib import Path

import pytest

from fleetlb_cli.tenants.connecting import NoKubeconfigError, find_kubeconfig


def test_the_option_goes_before_the_variable_and_that_before_the_home(tmp_path: Path) -> None:
    home = tmp_path / ".kube" / "config"
    home.parent.mkdir()
    named, given = tmp_path / "named", tmp_path / "given"
    for path in (home, named, given):
        path.touch()
    environ = {"HOME": str(tmp_path), "KUBECONFIG": str(named)}
    assert find_kubeconfig(given, environ) == given
    assert find_kubeconfig(None, environ) == named
    assert find_kubeconfig(None, environ | {"KUBECONFIG": ""}) == home


@pytest.mark.parametrize(
    ("given", "named", "text"),
    [
        (
            Path("/none/given"),
            "/none/named",
            "there is no file /none/given: name the management cluster's with --kubec",
        ),
        (None, "/none/named", "$KUBECONFIG is /none/named, and there is no such file: name"),
        (None, "", "$KUBECONFIG is not set, and there is no file /none/.kube/config: name"),
        (None, "/none/a:/none/b", "$KUBECONFIG names several files: name"),
    ],
)
def test_without_one_it_says_where_it_looked(given: Path | None, named: str, text: str) -> None:
    with pytest.raises(NoKubeconfigError) as caught:
        find_kubeconfig(given, {"HOME": "/none", "KUBECONFIG": named})
    assert str(caught.value).startswith(text)

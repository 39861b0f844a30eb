"""What the machine lacks is named, with the cure, all at once."""

from pathlib import Path

import pytest

from fleetlb_cli.local import kernel
from fleetlb_cli.local.kernel import KernelError


def test_a_machine_that_has_all_is_fine(tmp_path: Path) -> None:
    kernel.check(is_root=True, ip_vs=tmp_path)


def test_everything_missing_is_told_together(tmp_path: Path) -> None:
    with pytest.raises(KernelError) as caught:
        kernel.check(is_root=False, ip_vs=tmp_path / "none")
    text = str(caught.value)
    assert text.startswith("--engine ipvs: it needs root")
    assert "use sudo; this kernel has no ip_vs" in text
    assert "`modprobe ip_vs`" in text
    assert "deploy/lab/run.sh" in text


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="no ip_vs") as caught:
        kernel.check(is_root=True, ip_vs=tmp_path / "none")
    assert "root" not in str(caught.value)

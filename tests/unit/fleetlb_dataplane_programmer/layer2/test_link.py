"""What an interface can be called, and what is said when it cannot be looked at."""

import subprocess
import sys

import pytest

from fleetlb_dataplane_programmer.layer2.link import check_name


@pytest.mark.parametrize("name", ["eth0", "bond0.100", "enp0s31f6np0abc", "br-lan"])
def test_a_name_that_an_interface_can_have_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 16, "../all", "eth0:1", "eth 0", "eth0\n", ".", "..", "all", "default", "ä"]
)
def test_any_other_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="interface"):
        check_name(name)


def test_a_process_without_another_descriptor_says_so_and_lives() -> None:
    program = (
        "import resource\n"
        "from fleetlb_dataplane_programmer.layer2.link import LinkUnusable, look\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: look('lo')\n"
        "except LinkUnusable as problem: print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "interface lo cannot be looked at: Too many open files\n"

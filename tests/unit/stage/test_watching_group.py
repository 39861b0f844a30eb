"""When what was seen of an announcement is held against a node."""

import pytest

from tests.stage.ipvs_counts import virtual_servers_of
from tests.stage.watching_group import Claim, Lacking

VIP = "10.77.0.1"
TABLE = """UDP  0A4D0001:0050 mh (mh-fallback)
  -> 0A140016:0050      Route   2      0          1
  -> 0A140015:0050      Route   1      0          0
TCP  [fd10:0000:0000:0000:0000:0000:0000:0080]:0050 mh
  -> [fd20:0000:0000:0000:0000:0000:0000:0009]:0050      Route   1      0          0
UDP  0A4D0002:0050 mh
"""


def looked_at(*has: bool) -> Lacking:
    """A kernel that is looked at every second, each time for a fifth of it."""
    lacking = Lacking((VIP,))
    for second, is_there in enumerate(has):
        lacking.note("node-1", {VIP} if is_there else (), second, second + 0.2)
    return lacking


@pytest.mark.parametrize(
    ("begin", "end", "is_refuted"),
    [
        (1.3, 1.9, True),
        (1.2, 3.0, True),
        (1.1, 1.9, False),  # the first look may have been later
        (1.3, 3.1, False),  # the last look may have been earlier
        (2.9, 4.0, False),
        (0.3, 0.9, False),
        (5.3, 5.9, False),  # nobody looked afterwards
    ],
)
def test_a_claim_is_refuted_by_a_kernel_that_had_nothing_before_it_and_until_after_it(
    begin: float, end: float, is_refuted: bool
) -> None:
    lacking = looked_at(True, False, False, False, True, False)
    assert lacking.refutes(Claim("node-1", VIP, begin, end, "somebody")) is is_refuted


def test_others_and_other_vips_do_not_matter() -> None:
    lacking = looked_at(False, False, False)
    assert lacking.refutes(Claim("node-1", VIP, 0.5, 0.6, "somebody"))
    assert not lacking.refutes(Claim("node-2", VIP, 0.5, 0.6, "somebody"))
    assert not lacking.refutes(Claim("node-1", "10.77.0.2", 0.5, 0.6, "somebody"))


def test_what_a_kernel_says_of_its_virtual_servers() -> None:
    assert virtual_servers_of(TABLE.splitlines()) == {
        "10.77.0.1": ("10.20.0.21 weight 1", "10.20.0.22 weight 2"),
        "10.77.0.2": (),
    }

"""A fleet as tables."""

import json

import msgspec

from fleetlb.domain.conditions import Status
from fleetlb.testkit.load_balancers import a_load_balancer
from fleetlb_cli.rendering import Tone, as_lines
from fleetlb_cli.status.showing import MOST_TROUBLES, page_of
from fleetlb_cli.status.sight import Sight
from fleetlb_cli.status.viewing import view_of
from fleetlb_cli.whereabouts import Output
from tests.unit.fleetlb_cli.status.a_fleet import a_sight, judged

WHOLE = """\
hub
  PROCESS   HELD BY           GATE
  manager   m-1               open
  status    s-1               open
  nats      nats://hub:4222   answers
balancer groups
  NAME      NODES   ENGINE   VIRTUAL SERVERS
  default   1/1     envoy    3
balancer nodes
  NAME     GROUP     READY   FOLLOWS   ENGINE   VIRTUAL SERVERS
  node-1   default   yes     yes       envoy    3
address pools
  NAME     FAMILY   USED   QUARANTINED   FREE   READY
  public   IPv4     1      1             2      True
tenants
  NAME   READY   STATE    SERVING   PENDING   NOT SERVING   REFUSED
  acme   True    served   1         0         0             0
nothing is wrong"""


def shown(sight: Sight, output: Output = "table") -> str:
    return "\n".join(line.text for line in as_lines(page_of(view_of(sight)), output))


def test_one_screen() -> None:
    assert shown(a_sight()) == WHOLE


def test_the_wide_form_has_more_columns() -> None:
    text = shown(a_sight(), "wide")
    assert "FORWARDING" in text
    assert "SILENT WATCHERS" in text
    assert "PRIORITY" in text


def test_what_is_wrong_stands_last_with_the_next_command() -> None:
    text = shown(a_sight(following={}))
    assert text.splitlines()[-3:] == [
        "wrong: 1",
        "  node node-1 of group default: does not follow the hub: its dataplane-programmer is away, or is not let in",
        "    next: fleetlb audit",
    ]
    tones = [line.tone for line in as_lines(page_of(view_of(a_sight(following={}))), "table")]
    assert Tone.BAD in tones
    assert Tone.BAD not in [line.tone for line in as_lines(page_of(view_of(a_sight())), "table")]


def test_a_screen_stays_one() -> None:
    idle = judged(Status.FALSE, "NoReadyBackend")
    many = tuple(a_load_balancer(f"s{n}", status=idle) for n in range(MOST_TROUBLES + 5))
    lines = shown(a_sight(load_balancers=many)).splitlines()
    assert sum(line.startswith("    next:") for line in lines) == MOST_TROUBLES
    assert lines[-1] == "  and 5 more: -o json names them all"
    assert len(json.loads(shown(a_sight(load_balancers=many), "json"))["troubles"]) == MOST_TROUBLES + 5


def test_machines_get_all_of_it() -> None:
    sight = a_sight(following={})
    told = json.loads(shown(sight, "json"))
    assert told == json.loads(msgspec.json.encode(view_of(sight)))
    assert told["serving"] is False
    assert told["groups"][0]["nodes"][0]["following"] is False
    names = ["lease/fleetlb-manager", "lease/fleetlb-status", "balancergroup/default", "balancernode/node-1"]
    assert shown(sight, "name").split() == [*names, "addresspool/public", "tenant/acme"]

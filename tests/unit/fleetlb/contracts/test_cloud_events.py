from urllib.parse import unquote

import msgspec
import pytest

from fleetlb.contracts.cloud_events import ATTRIBUTES, OPTIONAL, headers_of
from fleetlb.contracts.events import NodeJoined
from tests.unit.fleetlb.contracts.test_events import EVENT

TRACE = f"00-{1:032x}-{1:016x}-01"


def test_every_attribute_is_a_header() -> None:
    headers = headers_of(EVENT, event_id="u.3.0", time="2026-11-29T10:00:00Z", trace=TRACE)
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "u.3.0",
        "ce-source": "/clusters/c/services/u",
        "ce-type": "dev.fleetlb.v1.serving",
        "ce-subject": "shop/web",
        "ce-time": "2026-11-29T10:00:00Z",
        "ce-datacontenttype": "application/json",
        "ce-dataschema": "urn:fleetlb:v1:serving",
        "ce-traceparent": TRACE,
        "content-type": "application/json",
    }
    assert headers.keys() - {"content-type"} == ATTRIBUTES.keys()
    untraced = headers_of(EVENT, event_id="u.3.0", time="")
    assert ATTRIBUTES.keys() - untraced.keys() == set(OPTIONAL)


def test_a_node_is_its_own_source() -> None:
    headers = headers_of(NodeJoined(revision=1, group="default", node="node-1"), event_id="1", time="")
    assert (headers["ce-source"], headers["ce-subject"]) == ("/groups/default/nodes/node-1", "node-1")


@pytest.mark.parametrize("name", ["a\r\nNats-Rollup: all", "a b", 'a"b', "50%", "\u20ac", "\x00\x7f", "\U0001f600"])
def test_no_name_breaks_a_header_and_none_is_lost(name: str) -> None:
    hostile = msgspec.structs.replace(EVENT, name=name)
    value = headers_of(hostile, event_id="1", time="")["ce-subject"]
    assert all(0x21 <= ord(character) <= 0x7E and character != '"' for character in value)
    assert unquote(value) == f"shop/{name}"

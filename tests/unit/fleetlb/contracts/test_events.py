import msgspec
import pytest

from fleetlb.contracts import events
from fleetlb.contracts.codec import encode
from fleetlb.contracts.events import EventPort, Serving
from fleetlb.domain.addresses import Protocol

EVENT = Serving(
    revision=3,
    tenant="acme",
    cluster_uid="c",
    namespace="shop",
    name="web",
    uid="u",
    addresses=("192.0.2.7",),
    ports=(EventPort(port=443, protocol=Protocol.TCP),),
    serving=True,
)


def test_an_event_writes_out_everything_that_it_knows() -> None:
    assert msgspec.json.decode(encode(EVENT)) == {
        "type": "dev.fleetlb.v1.serving",
        "revision": 3,
        "tenant": "acme",
        "clusterUID": "c",
        "namespace": "shop",
        "name": "web",
        "uid": "u",
        "addresses": ["192.0.2.7"],
        "hostname": "",
        "ports": [{"port": 443, "protocol": "TCP", "name": ""}],
        "pool": "",
        "group": "",
        "serving": True,
        "reason": "",
        "message": "",
        "backends": 0,
        "healthy": None,
    }


@pytest.mark.parametrize("kind", events.ALL_EVENTS, ids=lambda kind: kind.__name__)
def test_the_word_of_an_event_is_its_type_as_one_token(kind: type[events.Event]) -> None:
    word = events.word_of(kind)
    assert word == "-".join("".join(" " + c.lower() if c.isupper() else c for c in kind.__name__).split())
    assert str(kind.__struct_config__.tag) == "dev.fleetlb.v1." + word.replace("-", "_")

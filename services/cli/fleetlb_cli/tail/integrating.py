"""What messages for integrations, and the records of them, say in words. Pure."""

from msgspec.structs import replace

from fleetlb.contracts import codec, events, subjects, told
from fleetlb.contracts.events import AddressEvent, DriftRepaired, ServiceEvent
from fleetlb.runtime.bus import Message
from fleetlb_cli.tail.directory import Directory
from fleetlb_cli.tail.entries import Entry

_KINDS = {events.word_of(kind): kind for kind in events.ALL_EVENTS}


def event(message: Message, names: Directory, blank: Entry) -> Entry:
    """An event. Raises Poison."""
    word = message.subject.rpartition(".")[2]
    kind = _KINDS.get(word)
    if kind is None:
        return replace(blank, text=f"{word}: an event of a later version")
    said = codec.decode(kind, message.data)
    if isinstance(said, ServiceEvent):
        detail = said.address if isinstance(said, AddressEvent) else said.reason
        service = f"{said.namespace}/{said.name}"
        return replace(blank, tenant=said.tenant, service=service, text=f"{word}: {detail}" if detail else word)
    repairs = f", {said.repairs} times" if isinstance(said, DriftRepaired) else ""
    return replace(blank, text=f"{word}: {said.node} of group {said.group}{repairs}")


def record(message: Message, names: Directory, blank: Entry) -> Entry:
    """A record of what was told, which nobody needs to see who does not ask for it. Raises Poison."""
    place = subjects.parse_told(message.subject)
    if subjects.FLEET in message.subject.split("."):
        node = codec.decode(told.NodeTold, message.data)
        return replace(blank, text=f"{place[1]} of group {place[0]}: {_state(node)}", is_beat=True)
    said = codec.decode(told.ServiceTold, message.data)
    service = f"{said.now.namespace}/{said.now.name}"
    return replace(blank, tenant=place[0], service=service, text=_state(said), is_beat=True)


def _state(said: told.Told) -> str:
    return "integrations are being told" if said.on_its_way else "integrations were told"

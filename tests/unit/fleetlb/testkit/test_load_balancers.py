from fleetlb.contracts import codec
from fleetlb.contracts.v1 import LoadBalancerRevision, VirtualServerRealized
from fleetlb.testkit.load_balancers import a_load_balancer, a_word, as_message


def test_a_word_is_about_the_load_balancer_beside_it() -> None:
    balancer, word = a_load_balancer(generation=4), a_word(about=4)
    assert word.load_balancer == LoadBalancerRevision(balancer.metadata.uid, balancer.metadata.generation)
    assert word.owner.service_uid == balancer.metadata.name
    assert word.key.address in balancer.spec.addresses
    assert a_word(about=None).load_balancer is None


def test_a_message_holds_the_word_on_its_subject() -> None:
    word = a_word(node="node-2")
    message = as_message(word, group="edge")
    assert message.subject == "fleetlb.v1.realized.edge.node-2.192-0-2-1_443_tcp"
    assert codec.decode(VirtualServerRealized, message.data) == word

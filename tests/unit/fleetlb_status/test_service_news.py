"""What there is to tell of Services, and what is waited for."""

from fleetlb.contracts.told import ServiceTold
from fleetlb.testkit.load_balancers import ADDRESS, SERVICE, a_group, a_load_balancer, a_tenant, a_word
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Memory
from fleetlb_status.service_news import UNSETTLED_SECONDS, ServiceNews

KEY = ("tenant-acme", SERVICE)
AT = "2026-11-29T10:00:00Z"
TRACE = f"00-{1:032x}-{1:016x}-01"


class Desk:
    """News over a memory, by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.memory = Memory(lambda _: None)
        self.memory.set_tenant(a_tenant())
        self.memory.set_group(a_group())
        self.news = ServiceNews(Judging(self.memory), lambda: self.now)

    def look(self, told: ServiceTold | None = None) -> ServiceTold | None:
        return self.news.look(KEY, told, AT)


def test_nothing_is_known_before_it_can_be_judged() -> None:
    desk = Desk()
    assert desk.look() is None
    desk.memory.set_load_balancer(a_load_balancer())
    assert desk.look() is None
    desk.memory.complete_group("default")
    found = desk.look()
    assert found is not None
    assert (found.before, found.at, list(found.now.held)) == (None, AT, [ADDRESS])


def test_what_cannot_be_judged_any_more_is_not_gone() -> None:
    desk = Desk()
    desk.memory.complete_group("default")
    desk.memory.set_load_balancer(a_load_balancer())
    told = desk.look()
    desk.memory.drop_group(a_group())
    assert desk.look(told) is None
    desk.memory.drop_load_balancer(a_load_balancer())
    gone = desk.look(told)
    assert gone is not None
    assert gone.now.gone
    assert desk.look(gone) is None, "what is gone is gone once"


def test_what_is_under_way_is_waited_for_and_not_for_ever() -> None:
    desk = Desk()
    desk.memory.complete_group("default")
    desk.memory.set_load_balancer(a_load_balancer())
    assert desk.news.wait(KEY) == UNSETTLED_SECONDS
    desk.now = UNSETTLED_SECONDS + 1
    assert desk.news.wait(KEY) == 0.0
    desk.memory.fold_realized(a_word())
    assert desk.news.wait(KEY) == 0.0


def test_the_trace_is_that_of_the_last_change_also_of_who_is_gone() -> None:
    desk = Desk()
    desk.memory.complete_group("default")
    desk.memory.set_load_balancer(a_load_balancer())
    desk.memory.fold_realized(a_word(), TRACE)
    told = desk.look()
    assert told is not None
    assert told.trace == TRACE
    desk.memory.drop_load_balancer(a_load_balancer())
    gone = desk.look(told)
    assert gone is not None
    assert gone.trace == TRACE
    desk.news.forget(KEY)
    assert desk.memory.trace(KEY) == ""


def test_told_again_is_all_that_stands_as_if_nothing_had_been_told() -> None:
    desk = Desk()
    desk.memory.complete_group("default")
    desk.memory.set_load_balancer(a_load_balancer())
    told = desk.look()
    assert told is not None
    again = desk.news.again(told, "2026-12-29T10:00:00Z")
    assert (again.before, again.now, again.at) == (None, told.now, "2026-12-29T10:00:00Z")
    assert again.now.held[ADDRESS] == AT

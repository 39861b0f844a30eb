from fleetlb_tenant_watcher.deciding import Announce
from fleetlb_tenant_watcher.tallying import BURST, MAX_KEPT, REFILL_SECONDS, REPEAT_SECONDS, Tally

FAILED = Announce("Warning", "SyncLoadBalancerFailed", "PoolExhausted: no address")


def test_what_is_said_again_soon_is_the_same_event() -> None:
    tally = Tally()
    assert tally.earlier("u", FAILED, 0) is None
    tally.note("u", FAILED, "web.1", 1, 0)
    told = tally.earlier("u", FAILED, REPEAT_SECONDS)
    assert told is not None
    assert (told.name, told.times) == ("web.1", 1)
    assert tally.earlier("u", FAILED, REPEAT_SECONDS + 1) is None
    assert tally.earlier("other", FAILED, 1) is None
    assert tally.earlier("u", Announce("Warning", FAILED.reason, "QuotaExceeded: ..."), 1) is None


def test_a_service_that_says_too_much_is_cut_off_and_no_other() -> None:
    tally = Tally()
    spoken = sum(tally.may_speak("noisy", 0.01 * second) for second in range(10 * BURST))
    assert spoken == BURST
    assert tally.may_speak("quiet", 3)
    assert not tally.may_speak("noisy", REFILL_SECONDS / 2)
    assert tally.may_speak("noisy", 2 * REFILL_SECONDS)


def test_memory_is_bounded() -> None:
    tally = Tally()
    for number in range(MAX_KEPT + 5):
        tally.note(f"u{number}", FAILED, "x", 1, 0)
        tally.may_speak(f"u{number}", 0)
    assert len(tally._told) == len(tally._spent) == MAX_KEPT
    assert tally.earlier("u0", FAILED, 0) is None
    assert tally.earlier(f"u{MAX_KEPT + 4}", FAILED, 0) is not None

import pytest

from fleetlb.runtime.replay_progress import (
    Position,
    Progress,
    Pulling,
    Turn,
    consumer_request,
    position_of,
    pull_request,
)


def progress(*, batch: int = 3, replaying: bool = True) -> Progress:
    made = Progress(batch=batch)
    made.replaying = replaying
    made.pulled()
    return made


def test_a_replay_ends_with_the_message_after_which_nothing_is_pending() -> None:
    reading = progress()
    assert reading.message(1, pending=1) is Turn.WAIT
    assert reading.message(2, pending=0) is Turn.REPLAYED
    assert not reading.replaying
    reading.pulled()
    assert reading.message(3, pending=0) is Turn.WAIT


def test_a_full_batch_asks_for_the_next() -> None:
    reading = progress(batch=2)
    assert [reading.message(1, 5), reading.message(2, 4)] == [Turn.WAIT, Turn.PULL]
    assert reading.pulled() == 2
    assert reading.message(3, 3) is Turn.WAIT


@pytest.mark.parametrize("sequence", [1, 3, 99])
def test_a_number_left_out_or_repeated_is_a_loss(sequence: int) -> None:
    reading = progress()
    reading.message(1, pending=9)
    assert reading.message(sequence, pending=9) is Turn.LOST


@pytest.mark.parametrize(
    ("replaying", "code", "description", "expected"),
    [
        (True, "404", "No Messages", Turn.REPLAYED),
        (True, "408", "Request Timeout", Turn.REPLAYED),
        (False, "408", "Request Timeout", Turn.PULL),
        (False, "100", "Idle Heartbeat", Turn.WAIT),
        (True, "409", "Message Size Exceeds MaxBytes", Turn.PULL),
        (False, "409", "Batch Completed", Turn.PULL),
        (False, "409", "Consumer Deleted", Turn.LOST),
        (True, "409", "Consumer Deleted", Turn.LOST),
        (False, "409", "Server Shutdown", Turn.LOST),
        (False, "409", "Leadership Change", Turn.LOST),
        (False, "409", "Something New", Turn.LOST),
        (False, "503", "", Turn.LOST),
        (False, "400", "Bad Request", Turn.LOST),
    ],
)
def test_what_the_server_says_about_a_pull(replaying: bool, code: str, description: str, expected: Turn) -> None:
    assert progress(replaying=replaying).status(1, code, description) is expected


def test_words_about_an_earlier_pull_are_ignored_unless_the_consumer_is_gone() -> None:
    reading = progress()
    reading.pulled()
    assert reading.status(1, "404", "No Messages") is Turn.WAIT
    assert reading.status(1, "409", "Consumer Deleted") is Turn.LOST


@pytest.mark.parametrize(
    "reply",
    ["$JS.ACK.S.c.1.7.3.1700000000.4", "$JS.ACK.dom.acc.S.c.1.7.3.1700000000.4", "$JS.ACK._.acc.S.c.1.7.3.17.4.rnd"],
)
def test_both_forms_of_a_reply_subject_are_read(reply: str) -> None:
    assert position_of(reply) == Position(stream_sequence=7, consumer_sequence=3, pending=4)


def test_the_consumer_is_short_lived_and_needs_no_acknowledgements() -> None:
    config = consumer_request("S", "c", "s.>", Pulling())["config"]
    assert (config["deliver_policy"], config["ack_policy"], config["filter_subject"]) == (
        "last_per_subject",
        "none",
        "s.>",
    )
    assert config["inactive_threshold"] == 60_000_000_000


def test_a_replaying_pull_ends_by_itself_and_a_following_one_waits() -> None:
    assert pull_request(Pulling(), replaying=True)["no_wait"] is True
    waiting = pull_request(Pulling(), replaying=False)
    assert "no_wait" not in waiting
    assert waiting["expires"] > 2 * waiting["idle_heartbeat"] > 0

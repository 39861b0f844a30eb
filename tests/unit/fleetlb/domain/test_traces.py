"""Trace contexts: what is one, how they follow each other, and how people find them in a text."""

import pytest

from fleetlb.domain import traces

CONTEXT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_parts_of_a_context() -> None:
    assert traces.valid(CONTEXT) == CONTEXT
    assert traces.trace_id(CONTEXT) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert traces.span_id(CONTEXT) == "00f067aa0ba902b7"
    assert traces.is_sampled(CONTEXT)
    assert traces.is_sampled(CONTEXT[:-2] + "03"), "a random trace id is a flag of its own"
    assert not traces.is_sampled(CONTEXT[:-2] + "02")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        CONTEXT.upper(),
        CONTEXT + "-more",
        CONTEXT + "\n",
        CONTEXT.replace("00-", "ff-", 1),
        CONTEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        CONTEXT.replace("00f067aa0ba902b7", "0" * 16),
        CONTEXT[:-1],
        "٠٠-" + CONTEXT[3:],
    ],
)
def test_what_is_no_context_counts_as_none(text: str) -> None:
    assert traces.valid(text) == ""


def test_nothing_has_no_parts() -> None:
    assert (traces.trace_id(""), traces.span_id(""), traces.is_sampled("")) == ("", "", False)


@pytest.mark.parametrize("sampled", [True, False])
def test_steps_keep_the_trace_and_whether_it_is_recorded(sampled: bool) -> None:
    first = traces.beginning(bytes(range(1, 25)), sampled=sampled)
    assert traces.valid(first) == first
    then = traces.following(first, b"\xaa" * 8)
    assert traces.valid(then) == then
    assert traces.trace_id(then) == traces.trace_id(first) == bytes(range(1, 17)).hex()
    assert (traces.span_id(first), traces.span_id(then)) == (bytes(range(17, 25)).hex(), "aa" * 8)
    assert traces.is_sampled(then) is traces.is_sampled(first) is sampled


def test_a_text_carries_one_mark() -> None:
    other = CONTEXT.replace("4bf9", "aaaa")
    assert traces.marked("all is well", CONTEXT) == "all is well [trace 4bf92f3577b34da6a3ce929d0e0e4736]"
    again = traces.marked(traces.marked("all is well", other), CONTEXT)
    assert again == traces.marked("all is well", CONTEXT)
    assert traces.unmarked(again) == "all is well"
    assert traces.mark_of(again) == traces.trace_id(CONTEXT)
    assert traces.marked("all is well", "") == "all is well"
    assert traces.mark_of("all is well") == ""
    assert traces.unmarked("a [trace of] something") == "a [trace of] something"

import msgspec
import pytest

from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.runtime.bus import Misconfigured, StreamMissing, TooLarge
from fleetlb.runtime.jetstream_api import ApiError, failure_of, read


class Answer(msgspec.Struct):
    seq: int


@pytest.mark.parametrize(
    ("code", "err_code", "kind"),
    [
        (404, 10059, StreamMissing),
        (400, 10054, TooLarge),
        (400, 10097, TooLarge),
        (400, 10052, Misconfigured),
        (500, 10052, Misconfigured),
        (400, 10077, Transient),
        (503, 10023, Transient),
        (503, 10077, Transient),
        (500, 1, Transient),
        (404, 10014, Transient),
    ],
)
def test_each_code_has_one_kind(code: int, err_code: int, kind: type[FleetlbError]) -> None:
    failure = failure_of(ApiError(code=code, err_code=err_code, description="why"))
    assert type(failure) is kind
    assert "why" in str(failure)
    assert str(err_code) in str(failure)


def test_an_answer_is_read_or_tells_its_failure() -> None:
    assert read(b'{"stream":"S","seq":4}', Answer).seq == 4
    with pytest.raises(StreamMissing, match="stream not found"):
        read(b'{"error":{"code":404,"err_code":10059,"description":"stream not found"}}', Answer)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b'{"seq":"x"}'])
def test_garbage_is_trouble_of_the_environment(answer: bytes) -> None:
    with pytest.raises(Transient, match="unreadable"):
        read(answer, Answer)

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_one_json_object_with_the_agreed_names(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("demo", LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger("demo").info("hello", key=b"raw", count=3)
    (line,) = lines(capsys.readouterr().out)
    assert line["msg"] == "hello"
    assert (line["level"], line["service"], line["count"]) == ("info", "demo", 3)
    assert str(line["ts"]).endswith("Z")


def test_library_lines_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("demo", LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("some.library").warning("beware of %s", "dogs")
    (line,) = lines(capsys.readouterr().out)
    assert (line["msg"], line["level"], line["logger"]) == ("beware of dogs", "warning", "some.library")
    assert line["service"] == "demo"


def test_levels_are_respected_and_chatty_libraries_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("demo", LogLevel.WARNING, LogFormat.JSON)
    structlog.get_logger("demo").info("no")
    logging.getLogger("some.library").info("no")
    set_up_logs("demo", LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("nats").info("no")
    assert capsys.readouterr().out == ""


def test_an_exception_is_one_field_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("demo", LogLevel.INFO, LogFormat.JSON)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("demo").exception("failed")
    (line,) = lines(capsys.readouterr().out)
    assert "ValueError: broken" in str(line["exception"])


def test_people_get_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("demo", LogLevel.INFO, LogFormat.CONSOLE)
    structlog.get_logger("demo").info("hello", count=3)
    out = capsys.readouterr().out
    assert "hello" in out
    assert "count=3" in out

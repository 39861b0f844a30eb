"""The five forms of what is printed."""

import io
from typing import get_args

import msgspec
import pytest
import yaml
from rich.console import Console

from fleetlb_cli.rendering import Column, Line, Page, Part, Row, Tone, as_lines, say
from fleetlb_cli.whereabouts import Output


class Thing(msgspec.Struct):
    """What machines get."""

    name: str
    port: int


PART = Part(
    "things",
    (Column("NAME"), Column("MORE", wide=True), Column("STATE")),
    (Row("thing/a", ("a", "xyz", "good"), Tone.GOOD), Row("", ("bb", "", "bad\x1b[2J"), Tone.BAD)),
)
PAGE = Page((PART, Part("others", (Column("NAME"),), ())), Thing("a", 5), (Line("the end"),))


def shown(output: Output) -> list[str]:
    return "\n".join(line.text for line in as_lines(PAGE, output)).splitlines()


def test_a_table_leaves_wide_columns_out() -> None:
    assert shown("table") == [
        "things",
        "  NAME   STATE",
        "  a      good",
        "  bb     bad?[2J",
        "others",
        "  none",
        "the end",
    ]
    assert shown("wide")[1:3] == ["  NAME   MORE   STATE", "  a      xyz    good"]


def test_the_short_form_shows_the_worst() -> None:
    tones = [Tone.GOOD, Tone.GOOD, Tone.DOUBTFUL, Tone.GOOD, Tone.BAD]
    rows = tuple(Row(f"thing/{n}", (str(n),), tone) for n, tone in enumerate(tones))
    page = Page((Part("things", (Column("NAME"),), rows, most=3),), Thing("a", 5))
    short = [line.text.strip() for line in as_lines(page, "table")]
    assert short == ["things", "NAME", "0", "2", "4", "and 2 more, none of them worse: -o wide shows all"]
    assert [line.text.strip() for line in as_lines(page, "wide")][2:] == ["0", "1", "2", "3", "4"]
    assert len(as_lines(page, "name")) == 5


def test_machines() -> None:
    assert shown("json") == ["{", '  "name": "a",', '  "port": 5', "}"]
    assert yaml.safe_load("\n".join(shown("yaml"))) == {"name": "a", "port": 5}
    assert shown("name") == ["thing/a"]


@pytest.mark.parametrize("output", get_args(Output))
def test_colours_are_for_terminals_alone(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    file, terminal = io.StringIO(), io.StringIO()
    say(Console(file=file), as_lines(PAGE, output))
    say(Console(file=terminal, force_terminal=True), as_lines(PAGE, output))
    assert "\x1b" not in file.getvalue()
    assert ("\x1b[" in terminal.getvalue()) is (output in ("table", "wide"))


def test_no_line_is_folded() -> None:
    narrow = io.StringIO()
    say(Console(file=narrow, width=20), [Line("x" * 90)])
    assert narrow.getvalue() == "x" * 90 + "\n"

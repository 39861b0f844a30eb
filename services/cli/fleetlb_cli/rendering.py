"""What operators' commands print, in one of five forms: `table`, `wide` (more columns), `json`, `yaml`, and `name`, one
`KIND/NAME` a line. Formats only; whether there are colours, the console decides: only on a terminal.
"""

import enum
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import yaml
from rich.console import Console
from rich.text import Text

from fleetlb_cli.tenants.tables import GAP, printable
from fleetlb_cli.whereabouts import Output

_INDENT = "  "


class Tone(enum.Enum):
    """What a line is about; the value is how a terminal shows it."""

    PLAIN = ""
    HEAD = "bold"
    GOOD = "green"
    DOUBTFUL = "yellow"
    BAD = "red"


class Line(NamedTuple):
    """One line of text."""

    text: str
    tone: Tone = Tone.PLAIN


class Column(NamedTuple):
    """A column of a table; one that is `wide` is left out of the short form."""

    head: str
    wide: bool = False


class Row(NamedTuple):
    """One thing of a table. `name` is KIND/NAME; empty: nothing that could be asked for by a name."""

    name: str
    cells: tuple[str, ...]
    tone: Tone = Tone.PLAIN


class Part(NamedTuple):
    """A table with a title."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    most: int | None = None
    """So many rows are in the short form, before all those that are not well; None: all."""


class Page(NamedTuple):
    """Tables for people, and the same as a value for machines."""

    parts: tuple[Part, ...]
    value: msgspec.Struct
    closing: tuple[Line, ...] = ()
    """Below the tables."""


def as_lines(page: Page, output: Output) -> list[Line]:
    """The page in one of its forms."""
    match output:
        case "json":
            return [Line(msgspec.json.format(msgspec.json.encode(page.value), indent=2).decode())]
        case "yaml":
            value = msgspec.json.decode(msgspec.json.encode(page.value))
            return [Line(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120).rstrip())]
        case "name":
            return [Line(printable(row.name)) for part in page.parts for row in part.rows if row.name]
    return [*(line for part in page.parts for line in _part(part, wide=output == "wide")), *page.closing]


def as_text(lines: Iterable[Line]) -> Text:
    """For whatever shows a block at once."""
    return Text("\n").join([_text(line) for line in lines])


def say(console: Console, lines: Iterable[Line]) -> None:
    """Print the lines, none of them folded."""
    for line in lines:
        console.print(_text(line), soft_wrap=True)


def _text(line: Line) -> Text:
    return Text(line.text, style=line.tone.value)


def _part(part: Part, *, wide: bool) -> list[Line]:
    shown = [at for at, column in enumerate(part.columns) if wide or not column.wide]
    head = tuple(part.columns[at].head for at in shown)
    chosen = part.rows if wide or part.most is None else _chosen(part.rows, part.most)
    rows = [tuple(printable(row.cells[at]) for at in shown) for row in chosen]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    title = Line(printable(part.title), Tone.HEAD)
    if not rows:
        return [title, Line(f"{_INDENT}none")]
    body = [Line(_aligned(cells, widths), row.tone) for cells, row in zip(rows, chosen, strict=True)]
    left = len(part.rows) - len(chosen)
    more = [Line(f"{_INDENT}and {left} more, none of them worse: -o wide shows all")] if left else []
    return [title, Line(_aligned(head, widths)), *body, *more]


def _chosen(rows: tuple[Row, ...], most: int) -> tuple[Row, ...]:
    """The worst, in the order of all."""
    worst = sorted(range(len(rows)), key=lambda at: (_WORST_FIRST.index(rows[at].tone), at))
    return tuple(rows[at] for at in sorted(worst[:most]))


_WORST_FIRST = (Tone.BAD, Tone.DOUBTFUL, Tone.PLAIN, Tone.HEAD, Tone.GOOD)


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    return (_INDENT + GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))).rstrip()

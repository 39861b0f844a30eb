"""What is printed says what was true."""

import io

from rich.console import Console

from fleetlb_cli.demo.telling import Row, Teller, lines_to_try, table_of


def _printed(item: object) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(item)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_hop_that_nobody_named_is_a_dash() -> None:
    row = Row("acme", "demo/web", "127.77.0.1", "80/tcp", "127.10.0.11", "yes", {"watch": 1.25, "patch": 2.0}, 30, 31)
    text = _printed(table_of([row]))
    assert "1.2" in text
    assert "decide ms" in text
    assert next(line for line in text.splitlines() if "decide ms" in line).split("│")[2].strip() == "-"


def test_an_untrue_step_is_counted_and_explained() -> None:
    console = Console(file=io.StringIO(), width=100)
    teller = Teller(console)
    teller.check("it answers", False, "no answer")
    teller.check("it stays", True)
    assert teller.failures == 1
    assert isinstance(console.file, io.StringIO)
    assert "✗ it answers: no answer" in console.file.getvalue()


def test_the_lines_to_try_name_the_state() -> None:
    assert all("nc" in line or "/x" in line for line in lines_to_try("/x", "127.77.0.1"))

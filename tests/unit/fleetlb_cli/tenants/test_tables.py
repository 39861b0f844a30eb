from fleetlb_cli.tenants.tables import aligned


def test_columns_are_aligned_and_lines_end_with_their_text() -> None:
    assert aligned([("a", "bb", ""), ("aaa", "b", "")], "  ") == "  a     bb\n  aaa   b"


def test_nothing_that_steers_a_terminal_gets_through() -> None:
    assert aligned([("\x1b[2J\nacme\r", "ü")]) == "?[2J?acme?   ü"

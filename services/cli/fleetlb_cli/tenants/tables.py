"""Columns of text for a terminal."""

from collections.abc import Sequence

GAP = "   "


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Each column as wide as its widest cell; all rows have as many cells as the first."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        (indent + GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in cells
    )


def printable(text: str) -> str:
    """Without what would steer a terminal: some of what is shown was said by tenants."""
    return "".join(character if character.isprintable() else "?" for character in text)

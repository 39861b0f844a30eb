"""Bytes as a plane over virtual servers and real servers, by least squares. Pure."""

from collections.abc import Sequence

import msgspec


class Slopes(msgspec.Struct, frozen=True):
    """`base` + `per_server` × virtual servers + `per_real_server` × all real servers."""

    base: float
    per_server: float
    per_real_server: float

    def at(self, servers: int, real_servers: int) -> float:
        """What the plane says of so many virtual servers with so many real servers each."""
        return self.base + self.per_server * servers + self.per_real_server * servers * real_servers


def fit(points: Sequence[tuple[int, int]], values: Sequence[float]) -> Slopes:
    """The plane through values at (virtual servers, real servers of each). Raises ValueError if there are many."""
    rows = [(1.0, float(servers), float(servers * each)) for servers, each in points]
    matrix = [[sum(row[i] * row[j] for row in rows) for j in range(3)] for i in range(3)]
    right = [sum(row[i] * value for row, value in zip(rows, values, strict=True)) for i in range(3)]
    return Slopes(*_solve(matrix, right))


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gauss, with the largest pivot."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda line: abs(rows[line][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        if abs(rows[column][column]) < 1e-9:
            raise ValueError("the points do not determine a plane")
        for line in range(size):
            if line != column:
                factor = rows[line][column] / rows[column][column]
                rows[line] = [a - factor * b for a, b in zip(rows[line], rows[column], strict=True)]
    return [rows[line][size] / rows[line][line] for line in range(size)]

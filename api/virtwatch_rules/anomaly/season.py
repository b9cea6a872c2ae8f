"""What is usual for the hour, on working days and at weekends; kept only as long as it beats a plain mean."""

from array import array

_CELLS = 48  # 24 hours of working days, 24 of weekends
_TRUSTED_VISITS = 3
_MOST_VISITS = 50  # later visits weigh 1/50 each, so that an old habit is forgotten
_FRIDAY_FIRST = 4  # 1970-01-01 was a Thursday: day number + 4, modulo 7, is 0 on a Sunday and 6 on a Saturday
_WEEKEND = (0, 6)


def cell_of(at: float) -> int:
    """Return the cell of a time in seconds since 1970, in UTC."""
    weekday = (int(at // 86400) + _FRIDAY_FIRST) % 7
    return int(at // 3600) % 24 + (24 if weekday in _WEEKEND else 0)


class Season:
    """Hold the mean of each hour and what both kinds of forecast have cost."""

    __slots__ = ("error", "means", "plain_error", "visits")

    def __init__(self) -> None:
        self.means = array("d", bytes(8 * _CELLS))
        self.visits = array("H", bytes(2 * _CELLS))
        self.error = 0.0  # mean squared error of the hour's mean, over the last 500 points
        self.plain_error = 0.0  # the same of the plain mean

    @property
    def better(self) -> bool:
        """Return whether the hour forecasts better than the plain mean."""
        return self.error < self.plain_error

    def expected(self, cell: int) -> float | None:
        """Return what is usual in a cell; None where too little was seen of it."""
        return self.means[cell] if self.visits[cell] >= _TRUSTED_VISITS else None

    def learn(self, cell: int, value: float) -> None:
        """Take a value into its cell."""
        visits = self.visits[cell]
        if visits < _MOST_VISITS:
            visits += 1
            self.visits[cell] = visits
        self.means[cell] += (value - self.means[cell]) / visits

    def compare(self, residual: float, plain_residual: float) -> None:
        """Note by how much both forecasts missed a value."""
        self.error += (residual * residual - self.error) / 500
        self.plain_error += (plain_residual * plain_residual - self.plain_error) / 500

"""The history of what was measured, as a person reads it."""

from pathlib import Path

from tools.bench.figure import Figure
from tools.bench.history import Run, kept


def figure(name: str, value: float, goal: float | None = None) -> Figure:
    return Figure(name=name, value=value, unit="ms", goal=goal, detail="")


def test_each_figure_is_a_row_with_its_newest_value_first(tmp_path: Path) -> None:
    list(kept([figure("look", 3.5, 2.0), figure("old", 1.0)], run=Run("Monday", "a1", "2 CPUs"), folder=tmp_path))
    list(kept([figure("look", 1.4, 2.0), figure("new", 7.0)], run=Run("Tuesday", "b2", "2 CPUs"), folder=tmp_path))

    page = (tmp_path / "README.md").read_text()

    assert "| look | ms | 2 | 1.4 | Tuesday | 3.5 * |" in page
    assert "| new | ms |  | 7 | Tuesday |  |" in page
    assert "| old | ms |  | 1 | Monday |  |" in page  # a run of some figures hides no other
    assert page.index("* Tuesday: `b2` on 2 CPUs") < page.index("* Monday: `a1` on 2 CPUs")


def test_the_page_repeats_the_details_of_newest_figures(tmp_path: Path) -> None:
    slow = Figure(name="make test", value=550.0, unit="s", goal=600.0, detail="slowest: test_kills 31 s")

    list(kept([slow], run=Run("Monday", "a1", "2 CPUs"), folder=tmp_path))

    assert "* make test: slowest: test_kills 31 s" in (tmp_path / "README.md").read_text()


def test_what_was_measured_before_a_run_broke_is_kept(tmp_path: Path) -> None:
    def broken() -> object:
        yield figure("look", 3.5)
        raise RuntimeError

    try:
        list(kept(broken(), run=Run("Monday", "a1", "2 CPUs"), folder=tmp_path))  # type: ignore[arg-type]
    except RuntimeError:
        assert "| look |" in (tmp_path / "README.md").read_text()
    else:
        raise AssertionError("the error is hidden")

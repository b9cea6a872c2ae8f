import csv
import io
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from virtwatch_cli.__main__ import main

START = datetime(2026, 11, 1, tzinfo=UTC)


def series(count: int = 600, *, spike_at: int = 500) -> list[tuple[datetime, str]]:
    """Return five-minute values between 10 and 12, and one of 50."""
    rng = random.Random(7)
    times = [START + timedelta(minutes=5 * index) for index in range(count)]
    return [(at, "50" if index == spike_at else f"{rng.uniform(10, 12):.3f}") for index, at in enumerate(times)]


def write(path: Path, rows: list[tuple[str, str]], header: str = "timestamp,value") -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def run(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, str]], str]:
    code = main(["score", "--input", str(path)])
    out, err = capsys.readouterr()
    return code, list(csv.DictReader(io.StringIO(out))), err


@pytest.mark.parametrize("written", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00"])
def test_each_line_gets_its_score_and_band(written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(at.strftime(written), value) for at, value in series()]
    code, out, err = run(write(tmp_path / "cpu.csv", rows), capsys)
    assert (code, err) == (0, "")
    assert [(row["timestamp"], row["value"]) for row in out] == rows
    assert list(out[0]) == ["timestamp", "value", "score", "lower", "upper"]
    assert {float(row["score"]) for row in out[:150]} == {0.0}
    assert [index for index, row in enumerate(out) if float(row["score"]) >= 0.5] == [500]
    assert 9 < float(out[500]["lower"]) <= 10.2
    assert 11.8 <= float(out[500]["upper"]) < 20


def test_gaps_duplicates_and_old_lines_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"{at:%Y-%m-%d %H:%M:%S}", value) for at, value in series()]
    rows[300:400] = []
    rows[350] = (rows[350][0], "")
    rows[200:200] = [rows[199], rows[100], (rows[100][0], "99")]
    code, out, err = run(write(tmp_path / "cpu.csv", rows), capsys)
    assert code == 0
    assert [row["value"] for row in out] == [value for _, value in rows]
    assert [index for index, row in enumerate(out) if float(row["score"]) >= 0.5] == [202, 403]
    assert "3 lines" in err
    assert "not newer" in err


def test_a_score_knows_nothing_of_later_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(at.isoformat(), value) for at, value in series(520)]
    _, whole, _ = run(write(tmp_path / "whole.csv", rows), capsys)
    _, part, _ = run(write(tmp_path / "part.csv", rows[:400]), capsys)
    assert whole[:400] == part


def test_columns_may_come_in_any_order_among_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(value, "x", at.isoformat()) for at, value in series(10)]
    path = write(tmp_path / "cpu.csv", rows, "\ufeffValue,label,Timestamp")  # type: ignore[arg-type]
    code, out, _ = run(path, capsys)
    assert (code, len(out)) == (0, 10)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the header must name the columns timestamp and value"),
        ("time,value\n", "line 1: the header must name the columns timestamp and value"),
        ("timestamp,value\n2026-11-01 00:00:00,1\nyesterday,2\n", 'line 3: "yesterday" is no time'),
        ("timestamp,value\n2026-11-01 00:00:00,much\n", 'line 2: "much" is no number'),
        ("timestamp,value\n2026-11-01 00:00:00,inf\n", "line 2: the value is infinite"),
        ("timestamp,value\n2026-11-01 00:00:00,-1e160\n", "line 2: -1e160 is too large to be scored"),
        ("timestamp,value\n2026-11-01 00:00:00\n", "line 2: has 1 columns, the header has 2"),
    ],
)
def test_bad_input_is_named_by_its_line(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    code, _, err = run(path, capsys)
    assert code == 1
    assert err.startswith(f"error: {path}: {says}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none.csv", capsys)[::2] == (
        1,
        f"error: cannot read {tmp_path / 'none.csv'}: No such file or directory\n",
    )
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert "is not text in UTF-8" in run(tmp_path / "binary.csv", capsys)[2]


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("timestamp,value\n2026-11-01 00:00:00,1\n"))
    code, out, _ = run(Path("-"), capsys)
    assert (code, len(out)) == (0, 1)


def test_standard_input_is_read_as_a_file_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"\xef\xbb\xbftimestamp,value\n2026-11-01 00:00:00,1\n"
    locale = {"encoding": "ascii", "errors": "surrogateescape"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), **locale))
    assert run(Path("-"), capsys)[::2] == (0, "")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content + b"2026-11-01 00:00:15,1\xff\n"), **locale))
    code, _, err = run(Path("-"), capsys)
    assert (code, err) == (1, "error: standard input is not text in UTF-8; save the file as CSV in UTF-8\n")

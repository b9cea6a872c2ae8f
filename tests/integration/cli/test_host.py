"""`virtwatch host` as a process: real figures of this machine."""

import json
import os
from datetime import datetime
from pathlib import Path

import psutil

from tests.integration.cli.conftest import Virtwatch

WRITTEN = 32 * 2**20
SHOWN = 0.95 * WRITTEN  # times are written in milliseconds


def _lines(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def _at(line: dict) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()


def test_it_prints_a_line_a_second_and_ends_after_count(virtwatch: Virtwatch) -> None:
    command = virtwatch("host", "--count", 2)

    assert command.exit_code() == 0
    header, *lines = command.output.splitlines()
    assert header.split()[:3] == ["TIME", "CPU", "IOWAIT"]
    assert len(lines) == 2
    assert all("%" in line for line in lines)


def test_its_json_holds_what_the_kernel_says(virtwatch: Virtwatch) -> None:
    command = virtwatch("host", "-o", "json", "--count", 3, "--interval", 0.5)

    assert command.exit_code() == 0
    lines = _lines(command.output)
    assert len(lines) == 3
    memory = psutil.virtual_memory()
    for line in lines:
        assert line["host"] == os.uname().nodename
        assert 0 <= line["node.cpu.utilization"] <= 1.05
        assert abs(line["node.memory.available.ratio"] - memory.available / memory.total) < 0.5
        assert set(line["node.disk.write.rate"]) <= {disk.name for disk in Path("/sys/block").iterdir()}


def test_what_is_written_to_a_disk_shows(virtwatch: Virtwatch, tmp_path: Path) -> None:
    command = virtwatch("host", "-o", "json", "--interval", 0.5)
    before = _at(json.loads(command.line("node.disk.write.rate")))

    with (tmp_path / "data").open("wb") as file:
        file.write(os.urandom(WRITTEN))
        file.flush()
        os.fsync(file.fileno())

    written = 0.0
    while written < SHOWN:
        line = json.loads(command.line("node.disk.write.rate"))
        # A busy machine looks late: a rate is that of the time since the look before.
        before, passed = _at(line), _at(line) - before
        written += sum(line["node.disk.write.rate"].values()) * passed
    assert command.interrupt() == 130
    assert "Traceback" not in command.output


def test_it_runs_where_libvirt_is_not_installed(virtwatch: Virtwatch, tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("raise ModuleNotFoundError('no libvirt here', name='libvirt')\n")

    command = virtwatch("host", "--count", 1, env={"PYTHONPATH": str(tmp_path)})

    assert command.exit_code() == 0, command.output
    watching = virtwatch("watch", "-f", "/dev/null", "--connect", "test:///default", env={"PYTHONPATH": str(tmp_path)})
    assert watching.exit_code() == 1
    assert "libvirt is missing" in watching.output


def test_a_wrong_interval_is_refused_in_a_sentence(virtwatch: Virtwatch) -> None:
    command = virtwatch("host", "--interval", "soon")

    assert command.exit_code() == 2
    assert 'must be seconds from 0.1 to 3600, as in 0.5, not "soon"' in command.output

"""What our commands say where it cannot run, before it builds anything."""

import os
import platform
import subprocess
from pathlib import Path

import pytest

from tools import ending, entry
from tools.errors import ToolError
from tools.machine import ensure_packages, require_machine


def test_without_root_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(ToolError, match="only root may"):
        require_machine()


def test_neither_does_it_on_another_kind_of_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    with pytest.raises(ToolError, match="x86_64, and this machine is aarch64"):
        require_machine()


def test_a_machine_that_is_no_debian_is_told_which_packages_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    ensure_packages(())
    with pytest.raises(ToolError, match="gcc, libvirt-dev"):
        ensure_packages(["gcc", "libvirt-dev"])


def test_a_command_that_fails_is_one_line_with_its_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        subprocess.run(["sh", "-c", "echo the disk is full >&2; exit 3"], capture_output=True, check=True)

    monkeypatch.setattr(ending, "listen", lambda: None)

    assert entry.enter(fail) == 1
    assert (
        capsys.readouterr().err == "error: sh -c 'echo the disk is full >&2; exit 3' ended with 3: the disk is full\n"
    )

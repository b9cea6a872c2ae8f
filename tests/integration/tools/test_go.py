"""Which Go builds the lab's programs."""

import subprocess
from pathlib import Path

import pytest

from tools.go import find_go


def test_where_go_is_too_old_one_comes_as_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    go = find_go()

    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    assert Path(go) != old
    assert said.startswith("go1.26.")

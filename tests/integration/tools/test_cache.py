import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.process import wait_for
from tools.cache import cached
from tools.errors import ToolError

# Appends a line per build to the file BUILDS and holds the build until the file GO is there.
BUILDER = """
import sys, time
from pathlib import Path
from tools.cache import cached
builds, go = Path(sys.argv[1]), Path(sys.argv[2])
def build(folder):
    (folder / "half").touch()
    with builds.open("a") as file:
        file.write("built\\n")
    while not go.exists():
        time.sleep(0.01)
    (folder / "whole").touch()
print(cached("thing", [b"input"], build))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIRTWATCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def builder(tmp_path: Path) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", BUILDER, str(tmp_path / "builds"), str(tmp_path / "go")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_second_call_takes_what_the_first_built(tmp_path: Path) -> None:
    calls: list[Path] = []
    first = cached("thing", [b"input"], calls.append)
    assert cached("thing", [b"input"], calls.append) == first
    assert len(calls) == 1


def test_another_input_is_built_anew_beside_the_old(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    one = cached("thing", [source], lambda _: None)
    source.write_text("two")
    two = cached("thing", [source], lambda _: None)
    assert one != two
    assert one.is_dir()


def test_the_ones_used_last_are_kept_and_nothing_of_another_name() -> None:
    other = cached("thing-else", [b"input"], lambda _: None)
    built = [cached("thing", [bytes([number])], lambda _: None) for number in range(3)]
    for age, folder in enumerate([other, *built]):
        os.utime(folder, (age, age))
    cached("thing", [bytes([0])], lambda _: None)
    newest = cached("thing", [b"newest"], lambda _: None, keep=3)
    assert [folder.exists() for folder in built] == [True, False, True]
    assert newest.exists()
    assert other.exists()


def test_two_who_drop_the_same_old_builds_at_once_both_go_on() -> None:
    for number in range(100):
        folder = cached("thing", [bytes([number])], lambda _: None)
        os.utime(folder, (number, number))
    with ThreadPoolExecutor(8) as pool:
        kept = set(pool.map(lambda _: cached("thing", [b"newest"], lambda _: None, keep=1), range(8)))
    assert [folder.exists() for folder in kept] == [True]
    assert not folder.exists()


def test_inputs_are_told_apart_where_they_touch() -> None:
    assert cached("thing", [b"ab", b"c"], lambda _: None) != cached("thing", [b"a", b"bc"], lambda _: None)


def test_two_builders_at_once_build_once(tmp_path: Path) -> None:
    with builder(tmp_path) as first, builder(tmp_path) as second:
        wait_for(lambda: (tmp_path / "builds").exists(), what="the first build", deadline=60)
        (tmp_path / "go").touch()
        folders = {first.communicate(timeout=60)[0], second.communicate(timeout=60)[0]}
    assert len(folders) == 1
    assert (tmp_path / "builds").read_text() == "built\n"


def test_a_broken_build_leaves_nothing(cache: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise ToolError("no compiler")

    with pytest.raises(ToolError, match="no compiler"):
        cached("thing", [b"input"], build)
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_what_a_killed_builder_left_is_never_used(tmp_path: Path, cache: Path) -> None:
    with builder(tmp_path) as killed:
        wait_for(lambda: (tmp_path / "builds").exists(), what="the build", deadline=60)
        killed.kill()
    folder = cached("thing", [b"input"], lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]

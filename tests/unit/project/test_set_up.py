import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+) \\$", re.MULTILINE)
LOCKS = {"requirements.lock": list(EXTRAS)} | {
    f"requirements/{name}.lock": [name] for name in ("agent", "build", "operator")
}


def _pins(lock: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / lock).read_text()))


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items(), ids=list(LOCKS))
def test_a_lock_file_holds_what_pyproject_asks_for(lock: str, extras: list[str]) -> None:
    pins = _pins(lock)
    wanted = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    for requirement in map(Requirement, wanted):
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement} is not in {lock}: run make lock"
        assert requirement.specifier.contains(pinned), f"{lock} pins {requirement.name} {pinned}: run make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_lock_file_names_a_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", text, flags=re.MULTILINE)[1:]

    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert not re.search(r"https?://|^--", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["agent", "build", "operator"])
def test_all_lock_files_pin_the_same_versions(name: str) -> None:
    everything = _pins("requirements.lock")

    assert {key: pin for key, pin in _pins(f"requirements/{name}.lock").items() if everything.get(key) != pin} == {}


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9]+):", makefile, re.MULTILINE))
    documented = set(re.findall(r"^([a-z0-9]+):.*## ", makefile, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())

    assert targets == documented == phony
    assert len(targets) <= 16

import re
from pathlib import Path

import pytest

from docs.generate import ROOT, pages
from lab.controlplane.binaries import VERSION
from lab.kubevirt.binaries import KUBEVIRT
from lab.node.binaries import CONTAINERD

LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
TEST = re.compile(r"\b(tests/[\w/]+\.py)(?:::(\w+))?")
FROM_KUBEVIRT = (ROOT / "docs" / "kubevirt.md").read_text()
MODULES = [path.as_posix() for folder in ("agent", "api", "cli", "operator") for path in ROOT.glob(f"{folder}/**/*.py")]


def test_every_generated_page_is_up_to_date() -> None:
    old = [str(path) for path, text in pages().items() if (ROOT / path).read_text() != text]

    assert old == [], "run make docs and commit them"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    gone = [(path, name) for path, name in TEST.findall(page.read_text()) if not _is_test(ROOT / path, name)]

    assert gone == []


def test_all_that_is_taken_from_kubevirt_has_its_versions_its_reader_and_its_tests() -> None:
    rows = re.findall(r"^\| \d+ \|(.*)\|(.*)\|(.*)\|(.*)\|$", FROM_KUBEVIRT, re.MULTILINE)
    listed = re.findall(r"^\* ([A-Z]{1,2}) `tests/", FROM_KUBEVIRT, re.MULTILINE)
    used = [set(re.findall(r"\b[A-Z]{1,2}\b", tests)) for *_, tests in rows]
    modules = [name for _, readers, _, _ in rows for name in re.findall(r"`(.+?)`", readers)]

    assert len(rows) == len(re.findall(r"^\| \d", FROM_KUBEVIRT, re.MULTILINE)) > 0
    assert [row for row, tests in zip(rows, used, strict=True) if not tests or not row[2].strip()] == []
    assert sorted(set().union(*used)) == sorted(listed)
    assert [name for name in modules if not any(path.endswith(f"/{name}") for path in MODULES)] == []


def test_the_versions_that_were_tested_are_those_of_the_lab() -> None:
    page = (ROOT / "docs" / "install.md").read_text()

    assert f"| Kubernetes | {VERSION}, with containerd {CONTAINERD.version} |" in page
    assert f"| KubeVirt | {KUBEVIRT.version} |" in page
    assert f"**Tested** is {KUBEVIRT.version} alone" in FROM_KUBEVIRT


def _is_test(path: Path, name: str) -> bool:
    return path.is_file() and (not name or re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE) is not None)

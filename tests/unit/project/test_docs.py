import re
from pathlib import Path

import pytest

from docs.generate import ROOT, pages

LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


@pytest.mark.parametrize("path", pages(), ids=str)
def test_a_generated_page_is_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text() == pages()[path], "run make docs and commit it"


@pytest.mark.parametrize("page", sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))), ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]

    assert broken == []

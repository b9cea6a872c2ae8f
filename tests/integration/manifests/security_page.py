"""What docs/security.md says, to be held against what the API server and linters say."""

import re

from tools.checkout import CHECKOUT
from tools.checkov import Finding

# One thing that `restricted` forbids: a title, and where it is, in brackets.
SENTENCE = re.compile(r"(.+?\(.+?\))(?:, |$)")
DOCUMENT = (CHECKOUT / "docs" / "security.md").read_text()


def violations(said: str) -> set[str]:
    """Take a refusal or a warning of Pod Security apart: one sentence for each thing that `restricted` forbids."""
    _, _, listed = said.partition('PodSecurity "restricted:latest": ')
    return set(SENTENCE.findall(listed))


def documented(heading: str) -> set[str]:
    """Read the first column of a table."""
    return set(re.findall(r"^\| `(.+?)` \|", _section(heading), flags=re.MULTILINE))


def answered() -> set[Finding]:
    """Read the table of what checkov finds: a check in its first column, what it is found on in its second."""
    rows = re.findall(r"^\| `(\w+)` [^|]*\| ([^|]+) \|", _section("checkov"), flags=re.MULTILINE)
    return {Finding(check, on) for check, objects in rows for on in re.findall(r"`(.+?)`", objects)}


def _section(heading: str) -> str:
    [_, after] = re.split(rf"^##+ {heading}$", DOCUMENT, flags=re.MULTILINE)
    return re.split(r"^##", after, maxsplit=1, flags=re.MULTILINE)[0]

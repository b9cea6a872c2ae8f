import operator
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PYTHON_FOLDERS = ("api", "agent", "operator", "cli", "lab", "docs")
LONGEST = 250  # lines

# Longer than a module should be, each for a reason that splitting would not serve.
LONGER = {
    "api/virtwatch_api/nodemonitor_codec.py": "one shape, read and written",
    "api/virtwatch_api/policy.py": "the types of one kind",
    "api/virtwatch_api/policy_rules.py": "one grammar",
    "api/virtwatch_api/catalogue/readings.py": "one table",
    "agent/virtwatch_agent/collect/connections.py": "one machine of states: a connection's life",
    "agent/virtwatch_agent/collect/domains.py": "one machine of states: a domain's life",
    "agent/virtwatch_agent/judge/machine.py": "one VM, with all that can happen to its alerts",
    "agent/virtwatch_agent/core/dispatch.py": "one reaction to each observation, and what all of them touch",
    "operator/virtwatch_operator/leader.py": "what the leading replica runs, and how its parts hang together",
    "lab/process.py": "one process and all that can happen to it",
}
# Built up, so that this file does not hold them itself.
NOT_OURS = [
    re.escape("/".join(("", "work", ""))),
    re.escape("/".join(("", "tmp", "brief"))),
    re.escape("/".join(("shared", "facts"))),
    re.escape("/".join(("", "root", ""))),
    re.escape("/".join((".library", ""))),
    re.escape(".".join(("pypi", "org"))),
    re.escape(".".join(("pythonhosted", "org"))),
    re.escape(".".join(("proxy", "golang", "org"))),
]


def _modules() -> list[Path]:
    return [path for folder in PYTHON_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def _tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name]


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert Path(operator.__file__).parent == Path(os.__file__).parent


def test_modules_stay_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _modules()}

    too_long = {name: length for name, length in lengths.items() if length > LONGEST and name not in LONGER}

    assert too_long == {}, "split these, or give the reason in LONGER"


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_names = {"utils", "helpers", "common", "manager", "misc"}

    assert [path for path in _modules() if {path.stem, path.parent.name} & empty_names] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    pattern = re.compile("|".join(NOT_OURS))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _tracked_files()
        if path.is_file()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]

    assert found == []

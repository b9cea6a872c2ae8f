import operator
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PYTHON_FOLDERS = ("api", "agent", "operator", "cli", "lab", "tools", "docs")


def _modules() -> list[Path]:
    return [path for folder in PYTHON_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert Path(operator.__file__).parent == Path(os.__file__).parent


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_names = {"utils", "helpers", "common", "manager", "misc"}

    assert [path for path in _modules() if {path.stem, path.parent.name} & empty_names] == []

"""What the command says when its output takes no more, is not there, or cannot show a character."""

import os
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Virtwatch, rewrite

DRIVER = ("--connect", "test:///default")
SHELL = ("sh", "-c")


def _commands(policy: Path) -> dict[str, tuple[object, ...]]:
    return {
        "watch": ("watch", "-f", policy, *DRIVER),
        "watch as json": ("watch", "-f", policy, "-o", "json", *DRIVER),
        "check": ("check", "-f", policy),
        "signals": ("signals",),
    }


@pytest.mark.parametrize("name", ["watch", "watch as json", "check", "signals"])
@pytest.mark.parametrize(
    ("redirected", "reason"),
    [
        (">/dev/full", "error: the output cannot be written: No space left on device"),
        (">&-", "error: standard output is closed"),
    ],
)
def test_an_output_that_takes_nothing_ends_it_with_the_reason(
    virtwatch: Virtwatch, policy: Path, name: str, redirected: str, reason: str
) -> None:
    command = virtwatch(*_commands(policy)[name], before=(*SHELL, f'exec "$@" {redirected}', "sh"))

    assert command.exit_code() == 1
    assert command.output.splitlines() == [reason]


def test_half_of_a_character_is_shown_and_so_is_what_follows(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy.parent, "-o", "json", *DRIVER)
    command.document(type="watching")

    right = policy.read_text()
    rewrite(policy, right.replace("name: laptop", r'name: "\ud83d"'))
    command.document(type="problem", reason="is not YAML: found invalid Unicode character escape code")
    rewrite(policy, right.replace("0.1", "0.9"))

    command.document(type="transition", action="Resolved")


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_file_whose_name_is_no_text_is_named_as_well_as_can_be(
    virtwatch: Virtwatch, policy: Path, output: str
) -> None:
    other = policy.parent / os.fsdecode(b"b\xff.yaml")
    other.write_text("spec: [")

    command = virtwatch("watch", "-f", policy.parent, "-o", output, *DRIVER)

    assert r"b\udcff.yaml" in command.line("is not YAML")
    command.line("cpu-busy: vm.cpu.utilization" if output == "text" else '"action": "Fired"')


def test_check_goes_on_after_a_file_whose_name_is_no_text(virtwatch: Virtwatch, policy: Path) -> None:
    (policy.parent / os.fsdecode(b"b\xff.yaml")).write_text("spec: [")

    command = virtwatch("check", "-f", policy.parent)

    assert command.exit_code() == 1
    assert r"b\udcff.yaml:1: is not YAML" in command.output
    assert "laptop is valid" in command.output


def test_where_standard_error_is_closed_no_other_file_takes_its_place(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, *DRIVER, before=(*SHELL, 'exec "$@" 2>&-', "sh"))
    command.line("Warning test")

    assert Path(f"/proc/{command.process.pid}/fd/2").readlink() == Path(os.devnull)
    assert command.interrupt() == 0

"""Namespaces may stand in others, as a host's libvirtd does on a node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.guests.namespace import Namespace
from lab.process import wait_for
from lab.rundir import RunDir

MARK = Path("/run/mark")


@pytest.fixture
def outer(run: RunDir) -> Iterator[Namespace]:
    """Open namespaces with a file that the machine does not have."""
    opened = Namespace.open("outer", run=run, network=False, setup=[("mount", "-t", "tmpfs", "tmpfs", "/run")])
    opened.run("touch", MARK)
    yield opened
    if opened.alive:
        opened.close()


@pytest.fixture
def inner(outer: Namespace, run: RunDir) -> Iterator[Namespace]:
    opened = Namespace.open("inner", run=run, network=False, setup=[], inside=outer)
    yield opened
    opened.close()


def numbers(pid: int) -> list[str]:
    """Say what a process is called in each PID namespace that sees it, the machine's first."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid:")]
    return line.split()[1:]


def test_namespaces_inside_others_have_their_mounts_and_are_among_their_processes(
    outer: Namespace, inner: Namespace
) -> None:
    machine, seen, own = numbers(inner.pid)

    assert (machine, own) == (str(inner.pid), "1")
    outer.run("test", "-d", f"/proc/{seen}")
    inner.run("test", "-e", MARK)
    assert not MARK.exists()
    assert inner.holds(inner.pid)
    assert not outer.holds(inner.pid)


def test_another_process_of_the_run_finds_them(inner: Namespace, run: RunDir) -> None:
    assert Namespace.attach("inner", run=run).pid == inner.pid


def test_they_end_with_the_others_at_the_latest(outer: Namespace, inner: Namespace) -> None:
    outer.close()

    wait_for(lambda: not inner.alive, what="the inner ones to end", deadline=30)

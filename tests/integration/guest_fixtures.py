"""Real guests for the integration tests. A conftest imports these names; it has the fixture `run` already."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from lab.guests.together import side_by_side
from lab.rundir import RunDir


class MakeLauncher(Protocol):
    """Start the launcher of NAMESPACE/VMI; its domain has a UUID of its own unless one is given."""

    def __call__(self, namespace: str, vmi: str, *, domain_uuid: str | None = None) -> Launcher: ...


@pytest.fixture(scope="session")
def pods_dir(run: RunDir) -> Path:
    """Stand for the kubelet's pods folder, /var/lib/kubelet/pods."""
    folder = run.path / "pods"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def linux_guests(run: RunDir, pods_dir: Path) -> Iterator[tuple[Launcher, HostLibvirt]]:
    """Boot a launcher's guest, shop/web-1, and a plain host's guest, db-1, side by side."""
    launcher = Launcher(run, pods_dir=pods_dir, pod_uid=str(uuid.uuid4()), namespace="shop", vmi="web-1")
    host = HostLibvirt(run)

    def start_host() -> None:
        host.start()
        host.add("db-1").wait_ready()

    def start_launcher() -> None:
        launcher.start()
        launcher.guest.wait_ready()

    with ExitStack() as cleanup:
        cleanup.callback(host.stop)
        cleanup.callback(launcher.stop)
        side_by_side([start_launcher, start_host])
        yield launcher, host


@pytest.fixture
def linux_launcher(linux_guests: tuple[Launcher, HostLibvirt]) -> Iterator[Launcher]:
    """Give a launcher whose guest runs Linux, calm and obedient, whatever the test before did to it."""
    launcher, _ = linux_guests
    guest = launcher.guest
    if guest.state.state != "running":
        if guest.state.state != "shut off":
            guest.destroy()
        guest.start()
    guest.wait_ready()
    yield launcher
    if guest.state.state == "running":
        guest.calm()


@pytest.fixture
def linux_host(linux_guests: tuple[Launcher, HostLibvirt]) -> HostLibvirt:
    """Give the plain host, whose first guest runs Linux."""
    return linux_guests[1]


@pytest.fixture
def make_launcher(run: RunDir, pods_dir: Path) -> Iterator[MakeLauncher]:
    """Make started launchers whose guest has no operating system and stays paused: half a second each."""
    with ExitStack() as cleanup:

        def make(namespace: str, vmi: str, *, domain_uuid: str | None = None) -> Launcher:
            launcher = Launcher(
                run,
                pods_dir=pods_dir,
                pod_uid=str(uuid.uuid4()),
                namespace=namespace,
                vmi=vmi,
                domain_uuid=domain_uuid,
                linux=False,
            )
            cleanup.callback(launcher.stop)
            launcher.start()
            return launcher

        yield make

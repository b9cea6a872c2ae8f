"""Sockets that come and go in folders that come and go; no libvirt behind them is needed to notice."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from virtwatch_agent.inventory import sockets
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.sockets import Places, SocketWatch

# Seconds within which a change must be noticed: by inotify, for who relies on looks waits 10 s for the next.
NOTICED_S = 6.0
POD = "0a1b2c3d-1111-2222-3333-444455556666"


class Watching:
    def __init__(self, places: Places) -> None:
        self._told: SimpleQueue[frozenset[LibvirtAddress]] = SimpleQueue()
        self._watch = SocketWatch(places, self._told.put)
        self._watch.start()
        assert self.next() == set()

    def next(self) -> set[str]:
        """Return the names of the targets when they change."""
        return {target.name for target in self._told.get(timeout=NOTICED_S)}

    def nothing_more(self) -> bool:
        try:
            self._told.get(timeout=0.3)
        except Empty:
            return True
        return False

    def stop(self) -> None:
        self._watch.stop()


@pytest.fixture
def pods(tmp_path: Path) -> Path:
    folder = tmp_path / "pods"
    folder.mkdir()
    return folder


@pytest.fixture
def watching(pods: Path) -> Iterator[Watching]:
    made = Watching(Places(pods_dir=pods))
    yield made
    made.stop()


def runtime(pods: Path) -> Path:
    return pods / POD / "volumes" / "kubernetes.io~empty-dir" / "libvirt-runtime"


def bind(folder: Path, name: str = "virtqemud-sock") -> None:
    """Leave a socket's file: a path that is too long to bind is bound by a short one and moved."""
    bound = socket.socket(socket.AF_UNIX)
    short = Path("/tmp") / f"s{id(bound)}"
    bound.bind(str(short))
    shutil.move(short, folder / name)
    bound.close()


def test_a_socket_is_noticed_when_its_folders_are_made_one_by_one(watching: Watching, pods: Path) -> None:
    runtime(pods).mkdir(parents=True)
    bind(runtime(pods))
    assert watching.next() == {f"pod/{POD}"}


def test_a_socket_is_noticed_when_it_comes_long_after_its_folder(watching: Watching, pods: Path) -> None:
    runtime(pods).mkdir(parents=True)
    assert watching.nothing_more()
    bind(runtime(pods))
    assert watching.next() == {f"pod/{POD}"}


def test_a_socket_that_goes_is_noticed(watching: Watching, pods: Path) -> None:
    runtime(pods).mkdir(parents=True)
    bind(runtime(pods))
    watching.next()
    (runtime(pods) / "virtqemud-sock").unlink()
    assert watching.next() == set()


def test_a_pod_that_goes_with_all_its_folders_is_noticed(watching: Watching, pods: Path) -> None:
    runtime(pods).mkdir(parents=True)
    bind(runtime(pods))
    watching.next()
    shutil.rmtree(pods / POD)
    assert watching.next() == set()


def test_a_socket_that_is_made_anew_is_told_again(watching: Watching, pods: Path) -> None:
    runtime(pods).mkdir(parents=True)
    bind(runtime(pods))
    watching.next()
    bind(runtime(pods), "next")
    (runtime(pods) / "next").rename(runtime(pods) / "virtqemud-sock")
    assert watching.next() == {f"pod/{POD}"}


def test_a_link_within_its_folder_is_a_socket_and_one_out_of_it_is_none(watching: Watching, pods: Path) -> None:
    runtime(pods).mkdir(parents=True)
    bind(runtime(pods), "libvirt-sock")
    (runtime(pods) / "virtqemud-sock").symlink_to(runtime(pods) / "libvirt-sock")
    assert watching.nothing_more()
    (runtime(pods) / "virtqemud-sock").unlink()
    (runtime(pods) / "virtqemud-sock").symlink_to("libvirt-sock")
    assert watching.next() == {f"pod/{POD}"}


def test_pods_without_a_vm_and_other_files_are_nobody(watching: Watching, pods: Path) -> None:
    (pods / "some-pod" / "volumes" / "kubernetes.io~configmap").mkdir(parents=True)
    runtime(pods).mkdir(parents=True)
    (runtime(pods) / "virtqemud-sock").write_text("no socket")
    assert watching.nothing_more()


def test_a_hosts_socket_is_noticed_although_its_folder_is_made_later(tmp_path: Path) -> None:
    path = tmp_path / "run" / "libvirt" / "libvirt-sock"
    watching = Watching(Places(host_socket=path))
    path.parent.mkdir(parents=True)
    bind(path.parent, path.name)
    assert watching.next() == {str(path)}
    watching.stop()


def test_where_modular_daemons_run_without_a_proxy_virtqemuds_socket_is_the_hosts(tmp_path: Path) -> None:
    path = tmp_path / "libvirt-sock"
    watching = Watching(Places(host_socket=path))
    bind(tmp_path)
    assert watching.next() == {str(tmp_path / "virtqemud-sock")}
    bind(tmp_path, path.name)
    assert watching.next() == {str(path)}
    watching.stop()


def test_a_pods_folder_that_is_absent_is_said_once_and_found_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pods = tmp_path / "later"
    watching = Watching(Places(pods_dir=pods))
    runtime(pods).mkdir(parents=True)
    bind(runtime(pods))
    assert watching.next() == {f"pod/{POD}"}
    watching.stop()
    [record] = [record for record in caplog.records if record.name == sockets.__name__]
    assert str(pods) in record.getMessage()
    assert "Mount the kubelet's pods folder there" in record.getMessage()

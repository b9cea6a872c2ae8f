# Looks at folders of pods that fail; what a look that succeeds finds is shown in tests/integration/agent_collect.
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from virtwatch_agent.inventory import sockets
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.sockets import Places, SocketWatch

Told = SimpleQueue[frozenset[LibvirtAddress]]
Watch = Callable[..., Told]


@pytest.fixture
def pods(tmp_path: Path) -> Path:
    """Lay out two pods with the socket of a VM in each."""
    for pod in ("broken", "well"):
        runtime = tmp_path / pod / "volumes" / "kubernetes.io~empty-dir" / "libvirt-runtime"
        runtime.mkdir(parents=True)
        os.mknod(runtime / "virtqemud-sock", stat.S_IFSOCK | 0o600)
    return tmp_path


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(sockets, "_RESCAN", 0.02)
    monkeypatch.setattr(sockets, "_POLL", 0.02)
    started = []

    def start(changed: Callable[[frozenset[LibvirtAddress]], None] | None = None, **places: Path) -> Told:
        told = Told()
        started.append(SocketWatch(Places(**places), changed or told.put))
        started[-1].start()
        return told

    yield start
    for one in started:
        one.stop()


def fails(monkeypatch: pytest.MonkeyPatch, method: str, part: str, number: int = errno.EACCES) -> None:
    """Let a question about each path fail that has `part` in it."""
    ask = getattr(Path, method)

    def answer(path: Path) -> object:
        if part in path.parts:
            raise OSError(number, os.strerror(number), str(path))
        return ask(path)

    monkeypatch.setattr(Path, method, answer)


def names(told: Told) -> set[str]:
    return {address.name for address in told.get(timeout=30.0)}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("method", ["is_dir", "is_symlink"])
def test_a_pod_whose_folder_cannot_be_read_is_said_once_and_the_others_are_found(
    pods: Path,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    method: str,
) -> None:
    fails(monkeypatch, method, "broken", number)

    assert names(watch(pods_dir=pods)) == {"pod/well"}
    time.sleep(0.2)  # it is looked at several times
    [record] = caplog.records
    assert str(pods / "broken") in record.getMessage()
    assert os.strerror(number) in record.getMessage()


def test_a_pod_whose_folder_can_be_read_again_is_found(
    pods: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        fails(context, "is_dir", "broken")
        told = watch(pods_dir=pods)
        assert names(told) == {"pod/well"}

    assert names(told) == {"pod/broken", "pod/well"}


def test_a_hosts_socket_that_cannot_be_looked_at_does_not_hide_the_pods(
    pods: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails(monkeypatch, "is_socket", "host")

    assert names(watch(pods_dir=pods, host_socket=pods.parent / "host" / "libvirt-sock")) == {
        "pod/broken",
        "pod/well",
    }
    assert str(pods.parent / "host") in caplog.text


def test_a_defect_ends_no_look_for_sockets_and_is_told_once(
    pods: Path, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    told: Told = Told()
    defects = iter([ValueError("a defect")] * 3)

    def changed(addresses: frozenset[LibvirtAddress]) -> None:
        if (defect := next(defects, None)) is not None:
            raise defect
        told.put(addresses)

    watch(changed, pods_dir=pods)

    assert names(told) == {"pod/broken", "pod/well"}
    [record] = caplog.records
    assert record.exc_info is not None


def test_a_folder_of_which_nobody_can_tell_is_not_taken_for_gone(pods: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def address(pod: str) -> LibvirtAddress:
        return LibvirtAddress.of_pod(pod, pods / pod, "virtqemud-sock")

    fails(monkeypatch, "is_dir", "broken", errno.ESTALE)

    assert [address(pod).folder_exists for pod in ("broken", "well", "gone")] == [True, True, False]

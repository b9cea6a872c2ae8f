"""What hangs costs its own figures: every other VM keeps its rate, and all is bounded and well again afterwards."""

import shutil
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from lab.process import wait_for
from tests.integration.agent_collect.collected import longest_gap
from tests.integration.agent_collect.conftest import PATIENT_S, Collect
from tests.integration.guest_fixtures import MakeLauncher
from tests.soak import times
from virtwatch_agent.collect.libvirt.connection import Keepalive
from virtwatch_agent.observations import ConnectionState, Observation, TargetEvent
from virtwatch_api.catalogue.readings import Source

QUICK = Keepalive(interval=1, count=2)
SILENT = 200
INTERVAL_S = 0.5  # between two looks at a monitor, see `OFTEN`
SLACK_S = float(times(3, 1))  # of a machine that does other things as well: other tests, but for `make soak`
LEFT_THREADS = 8  # idle ones of pools, which are kept
LEFT_MIB = 24.0
FAULTS = times(24, 1000)


class SilentSocket:
    """A pod's libvirt that accepts connections and never answers."""

    def __init__(self, pods_dir: Path) -> None:
        self.pod = str(uuid.uuid4())
        self._folder = pods_dir / self.pod
        runtime = self._folder / "volumes" / "kubernetes.io~empty-dir" / "libvirt-runtime"
        runtime.mkdir(parents=True)
        self._listening = socket.socket(socket.AF_UNIX)
        short = Path("/tmp") / f"vw-{self.pod[:8]}"
        self._listening.bind(str(short))
        self._listening.listen()
        shutil.move(short, runtime / "virtqemud-sock")

    def close(self) -> None:
        self._listening.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def silent(pods_dir: Path) -> Iterator[Callable[[], SilentSocket]]:
    """Make sockets that never answer; they go with the test."""
    with ExitStack() as cleanup:

        def make() -> SilentSocket:
            made = SilentSocket(pods_dir)
            cleanup.callback(made.close)
            return made

        yield make


def test_two_hundred_silent_sockets_cost_nobody_else_anything(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path, silent: Callable[[], SilentSocket]
) -> None:
    well = make_launcher("shop", "keeps-rate")
    collected = collect(pods_dir=pods_dir, call_deadline=1.0, keepalive=QUICK)
    collected.sample(well.guest.uuid, Source.BLOCK)
    threads, since = threading.active_count(), collected.mark()
    made = [silent() for _ in range(SILENT)]
    late = make_launcher("shop", "comes-late")

    def told(all_: list) -> bool:
        return {f"pod/{one.pod}" for one in made} <= {
            one.connection for one in all_ if isinstance(one, ConnectionState) and one.problem
        }

    collected.wait(told, "each silent socket to be reported", since=since)
    collected.sample(late.guest.uuid, Source.BLOCK, since=since)
    assert longest_gap(collected, well.guest.uuid, Source.BLOCK, since=since) <= 2 * INTERVAL_S + SLACK_S
    assert threading.active_count() <= threads + SILENT + LEFT_THREADS + 32
    for one in made:
        one.close()
    wait_for(
        lambda: threading.active_count() <= threads + LEFT_THREADS + 32, what="the hung calls to end", deadline=60.0
    )


def test_why_a_silent_libvirt_cannot_be_reached_is_said_as_soon_as_it_is_known(
    collect: Collect, tmp_path: Path
) -> None:
    path = tmp_path / "libvirt-sock"
    uri = f"qemu+unix:///system?socket={path}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        collected = collect(uris=(uri,), call_deadline=1.0)
        assert "does not answer" in collected.connection(uri, well=False).problem
        since = collected.mark()
    assert "cannot be reached" in collected.connection(uri, well=False, since=since).problem


def test_a_libvirt_that_restarts_in_a_loop_harms_no_other(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    loops, well = make_launcher("shop", "loops"), make_launcher("shop", "steady")
    collected = collect(pods_dir=pods_dir, call_deadline=PATIENT_S)
    for launcher in (loops, well):
        collected.sample(launcher.guest.uuid, Source.BLOCK)
    since = collected.mark()
    for _ in range(10):
        loops.daemon.kill()
        loops.daemon.start()
    collected.sample(loops.guest.uuid, Source.BLOCK, since=collected.mark())
    assert longest_gap(collected, well.guest.uuid, Source.BLOCK, since=since) <= 2 * INTERVAL_S + SLACK_S
    assert longest_gap(collected, loops.guest.uuid, Source.KERNEL, since=since) <= 2 * INTERVAL_S + SLACK_S
    assert not [event for event in collected.events(loops.guest.uuid, since=since) if event.type == "vm.stopped"]


# What is so already, since a busy machine held up a call, is not told again.
def stuck(all_: list[Observation], vm: str) -> bool:
    of_it = [one for one in all_ if isinstance(one, TargetEvent) and one.target.id == vm]
    return [one.type for one in of_it if "telemetry" in one.type][-1:] == ["vm.telemetry_stuck"]


def in_trouble(all_: list[Observation], connection: str) -> bool:
    states = [one for one in all_ if isinstance(one, ConnectionState) and one.connection == connection]
    return bool(states and states[-1].problem)


@pytest.mark.soak
def test_many_faults_leave_no_thread_descriptor_or_memory(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path, silent: Callable[[], SilentSocket]
) -> None:
    """In turn: a QEMU that is stopped, a libvirt that is stopped, one that is killed, a socket without an answer."""
    launcher, well = make_launcher("shop", "suffers"), make_launcher("shop", "others")
    collected = collect(pods_dir=pods_dir, call_deadline=0.5, keepalive=QUICK)
    for one in (launcher, well):
        collected.sample(one.guest.uuid, Source.BLOCK)
    name, process = f"pod/{launcher.pod_uid}", psutil.Process()

    def qemu_stands() -> None:
        launcher.guest.freeze_qemu()
        try:
            collected.wait(lambda all_: stuck(all_, launcher.guest.uuid), "the QEMU that stands to be reported")
        finally:
            launcher.guest.thaw_qemu()

    def libvirt_stands() -> None:
        launcher.daemon.freeze()
        try:
            collected.wait(lambda all_: in_trouble(all_, name), "the libvirt that stands to be reported")
        finally:
            launcher.daemon.thaw()

    def libvirt_dies() -> None:
        launcher.daemon.kill()
        launcher.daemon.start()

    def socket_is_silent() -> None:
        since, one = collected.mark(), silent()
        collected.connection(f"pod/{one.pod}", well=False, since=since)
        one.close()

    def all_well() -> None:
        since = collected.mark()
        for one in (launcher, well):
            collected.sample(one.guest.uuid, Source.BLOCK, since=since)

    faults = (qemu_stands, libvirt_dies, socket_is_silent, libvirt_stands)
    for fault in faults:  # once, so that everything that is kept is there
        fault()
        all_well()
    threads, descriptors = process.num_threads(), process.num_fds()
    memory = process.memory_info().rss
    for number in range(FAULTS):
        faults[number % len(faults)]()
        collected.forget()
        all_well()
    wait_for(lambda: process.num_threads() <= threads + LEFT_THREADS, what="threads to end", deadline=60.0)
    wait_for(lambda: process.num_fds() <= descriptors + LEFT_THREADS, what="descriptors to be closed", deadline=60.0)
    assert process.memory_info().rss - memory < LEFT_MIB * (1 << 20)

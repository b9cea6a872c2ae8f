"""Storage pools and networks of a real libvirtd, and of libvirt's test driver."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition

import pytest

from lab.guests.host import HostLibvirt
from virtwatch_agent.collect.network.networks import NetworkReader
from virtwatch_agent.collect.objects.collector import ObjectCollector
from virtwatch_agent.collect.objects.reader import ObjectReader
from virtwatch_agent.collect.storage.pools import PoolReader
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.observations import ObjectsListed, Observation, Sample, TargetEvent, Unwatched
from virtwatch_api.catalogue.readings import READING
from virtwatch_api.targets import TargetRef

DEADLINE_S = 60.0
OFTEN_S = 0.2
MIB = 1 << 20
TEST_POOL = "dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566"
TEST_NETWORK = "dd8fe884-6c02-601e-7551-cca97df1c5df"


class Collected:
    """A collector of one kind of object; all that is listed is read often."""

    def __init__(self, reader: ObjectReader, address: LibvirtAddress, **settings: float) -> None:
        self.reader = reader
        self._came: list[Observation] = []
        self._changed = Condition()
        self.collector = ObjectCollector(reader, [address], time, **settings)
        self.collector.start(self._deliver)

    def _deliver(self, *observations: Observation) -> None:
        with self._changed:
            self._came.extend(observations)
            self._changed.notify_all()
        for item in observations:
            for found in item.objects if isinstance(item, ObjectsListed) else ():
                self.collector.plan(found.target, {self.reader.source: OFTEN_S})

    def wait(self, fits: Callable[[Observation], bool], *, since: int = 0) -> Observation:
        end = time.monotonic() + DEADLINE_S
        with self._changed:
            while (found := next((item for item in self._came[since:] if fits(item)), None)) is None:
                assert self._changed.wait(end - time.monotonic()), self._came[-20:]
            return found

    def mark(self) -> int:
        with self._changed:
            return len(self._came)

    def target(self, name: str) -> TargetRef:
        def lists(item: Observation) -> bool:
            return isinstance(item, ObjectsListed) and any(one.name == name for one in item.objects)

        return next(one.target for one in self.wait(lists).objects if one.name == name)

    def sample(self, target: TargetRef, holding: Callable[[dict], bool], *, since: int = 0) -> dict:
        def fits(item: Observation) -> bool:
            return isinstance(item, Sample) and item.target == target and holding(item.values)

        return self.wait(fits, since=since).values

    def event(self, target: TargetRef, type_: str, *, since: int = 0) -> None:
        self.wait(
            lambda item: isinstance(item, TargetEvent) and (item.target, item.type) == (target, type_), since=since
        )


@pytest.fixture
def collect() -> Iterator[Callable[..., Collected]]:
    """Start collectors, which end with the test."""
    started = []

    def start(reader: ObjectReader, uri: str, **settings: float) -> Collected:
        started.append(Collected(reader, LibvirtAddress.of_uri(uri), **settings))
        return started[-1]

    yield start
    for item in started:
        item.collector.stop()


def test_a_pool_of_the_test_driver_is_read(collect) -> None:
    values = collect(PoolReader(time), "test:///default").sample(
        TargetRef(PoolReader.kind, TEST_POOL), lambda values: ("pool.promised", "") in values
    )
    assert values["pool.capacity", ""] == 100 << 30
    assert values["pool.allocation", ""] == 0
    assert values["pool.state", ""] == 1
    assert all(READING[key].source is PoolReader.source for key, _ in values)


def test_the_folder_of_a_pools_volumes_is_known(collect) -> None:
    found = collect(PoolReader(time), "test:///default").wait(lambda item: isinstance(item, ObjectsListed))
    assert [(item.name, item.place) for item in found.objects] == [("default-pool", "/default-pool")]


def test_a_network_of_the_test_driver_is_read(collect) -> None:
    """It knows no leases, and the bridge that it names is none of this machine's: they are absent."""
    collected = collect(NetworkReader(Path("/sys"), time), "test:///default")
    values = collected.sample(TargetRef(NetworkReader.kind, TEST_NETWORK), bool)
    assert values == {("network.state", ""): 1.0, ("lease.addresses", ""): 253.0}


@pytest.fixture
def pool(bare_host: HostLibvirt, tmp_path: Path) -> Path:
    """A started dir pool named images, in the folder that is returned."""
    # The daemon has namespaces of its own, and /tmp of this one.
    folder = tmp_path / "images"
    folder.mkdir()
    bare_host.daemon.virsh("pool-create-as", "images", "dir", "--target", str(folder))
    return folder


def test_a_dir_pool_tells_use_promises_and_volumes(collect, bare_host: HostLibvirt, pool: Path) -> None:
    bare_host.daemon.virsh("vol-create-as", "images", "thin", "64M", "--allocation", "0")
    collected = collect(PoolReader(time), bare_host.uri)
    target = collected.target("images")
    values = collected.sample(target, lambda values: ("volume.capacity", "thin") in values)
    system = os.statvfs(pool)
    assert values["pool.capacity", ""] == system.f_blocks * system.f_frsize
    assert values["pool.free", ""] == pytest.approx(system.f_bfree * system.f_frsize, rel=0.05)
    assert values["pool.promised", ""] == 64 * MIB
    assert values["volume.allocation", "thin"] == 0


def test_a_pool_that_stops_and_starts_is_heard(collect, bare_host: HostLibvirt, tmp_path: Path) -> None:
    virsh = bare_host.daemon.virsh
    (tmp_path / "kept").mkdir()
    virsh("pool-define-as", "kept", "dir", "--target", str(tmp_path / "kept"))
    virsh("pool-start", "kept")
    collected = collect(PoolReader(time), bare_host.uri)
    target = collected.target("kept")
    collected.sample(target, lambda values: values["pool.state", ""] == 1)
    since = collected.mark()
    virsh("pool-destroy", "kept")
    collected.event(target, "pool.stopped", since=since)
    assert collected.sample(target, lambda values: values["pool.state", ""] == 0) == {("pool.state", ""): 0.0}
    virsh("pool-start", "kept")
    collected.event(target, "pool.started", since=since)


def test_a_daemon_that_restarts_is_connected_again(collect, bare_host: HostLibvirt, pool: Path) -> None:
    collected = collect(PoolReader(time), bare_host.uri)
    target = collected.target("images")
    collected.sample(target, bool)
    since = collected.mark()
    bare_host.daemon.restart()
    collected.wait(lambda item: isinstance(item, ObjectsListed), since=since)


class HangingReader(PoolReader):
    """Reading the pool `hangs` does not return until it is let go: no storage that hangs can be had here."""

    def __init__(self, hangs: str) -> None:
        super().__init__(time)
        self.hangs = hangs
        self.let_go = False

    def read(self, raw, uuid, *, local):
        if raw.storagePoolLookupByUUIDString(uuid).name() == self.hangs:
            end = time.monotonic() + DEADLINE_S
            while not self.let_go and time.monotonic() < end:
                time.sleep(0.01)
        return super().read(raw, uuid, local=local)


def test_a_pool_that_hangs_is_named_and_the_others_go_on(
    collect, bare_host: HostLibvirt, pool: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    bare_host.daemon.virsh("pool-create-as", "other", "dir", "--target", str(tmp_path / "other"))
    reader = HangingReader("images")
    collected = collect(reader, bare_host.uri, call_deadline=1.0)
    hung, other = collected.target("images"), collected.target("other")

    def unwatched(item: Observation) -> bool:
        return isinstance(item, Unwatched) and item.uuid == hung.id and bool(item.problem)

    assert "storage pool images" in collected.wait(unwatched).problem
    collected.sample(other, bool, since=collected.mark())
    since = collected.mark()
    reader.let_go = True
    collected.wait(lambda item: isinstance(item, Unwatched) and not item.problem, since=since)
    collected.sample(hung, bool, since=since)


class HangingList(PoolReader):
    """All listings after the first do not return until they are let go."""

    def __init__(self) -> None:
        super().__init__(time)
        self.listed = 0
        self.let_go = False

    def list_all(self, raw, connection):
        self.listed += 1
        end = time.monotonic() + DEADLINE_S
        while self.listed > 1 and not self.let_go and time.monotonic() < end:
            time.sleep(0.01)
        return super().list_all(raw, connection)


def test_a_listing_that_hangs_is_said_and_what_is_known_goes_on(
    collect, monkeypatch: pytest.MonkeyPatch, bare_host: HostLibvirt, pool: Path
) -> None:
    monkeypatch.setattr("virtwatch_agent.collect.objects.collector._LIST_EVERY_S", 1.0)
    reader = HangingList()
    collected = collect(reader, bare_host.uri, call_deadline=1.0)
    known = collected.target("images")

    said = collected.wait(lambda item: isinstance(item, Unwatched) and bool(item.problem)).problem
    assert "does not say which storage pools it has" in said
    for _ in range(3):
        collected.sample(known, bool, since=collected.mark())
    assert reader.listed == 2
    since = collected.mark()
    reader.let_go = True
    collected.wait(lambda item: isinstance(item, Unwatched) and not item.problem, since=since)
    collected.wait(lambda item: isinstance(item, ObjectsListed), since=since)


NETWORK = """\
<network><name>lab</name><forward mode='bridge'/><bridge name='{bridge}'/></network>
"""


@pytest.fixture
def bridge(bare_host: HostLibvirt) -> Iterator[str]:
    """Start a network on a bridge of this machine, and return the bridge's name."""
    name = f"vwb{os.getpid() % 100_000}"
    (bare_host.daemon.spec.folder / "network.xml").write_text(NETWORK.format(bridge=name))
    for command in (["link", "add", name, "type", "bridge"], ["address", "add", "198.51.100.1/24", "dev", name]):
        subprocess.run(["ip", *command], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    bare_host.daemon.virsh("net-create", str(bare_host.daemon.spec.folder / "network.xml"))
    yield name
    subprocess.run(["ip", "link", "delete", name], check=True)


def test_what_enters_a_bridge_is_counted_at_its_ports(collect, bare_host: HostLibvirt, bridge: str) -> None:
    collected = collect(NetworkReader(Path("/sys"), time), bare_host.uri)
    target = collected.target("lab")
    before = collected.sample(target, lambda values: ("bridge.bytes", bridge) in values)
    assert before["network.state", ""] == 1
    guest = bare_host.add("on-the-bridge", linux=False)
    tap = guest.domain.interface.tap
    subprocess.run(["ip", "link", "set", tap, "master", bridge], check=True)
    values = collected.sample(target, lambda values: ("bridge.bytes", tap) in values)
    assert values["bridge.errors", tap] == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(b"x" * 1000, ("198.51.100.255", 9))
    collected.sample(target, lambda values: values["bridge.bytes", bridge] >= before["bridge.bytes", bridge] + 1000)


def test_leases_that_have_not_expired_are_counted(collect, bare_host: HostLibvirt, bridge: str) -> None:
    """The file is what libvirt's own helper writes for dnsmasq, which this machine does not have.

    A lease that lasts for ever expires at 0.
    """
    leases = [
        {"ip-address": f"198.51.100.{number}", "mac-address": f"52:54:00:00:00:0{number}", "expiry-time": expires}
        for number, expires in ((2, int(time.time()) + 3600), (3, int(time.time()) - 60), (4, 0))
    ]
    folder = bare_host.daemon.spec.folder / "lib" / "dnsmasq"
    folder.mkdir(exist_ok=True)
    (folder / f"{bridge}.status").write_text(json.dumps(leases))
    collected = collect(NetworkReader(Path("/sys"), time), bare_host.uri)
    values = collected.sample(collected.target("lab"), lambda values: ("leases", "") in values)
    assert values["leases", ""] == 2


def test_a_network_that_stops_is_heard(collect, bare_host: HostLibvirt, bridge: str) -> None:
    collected = collect(NetworkReader(Path("/sys"), time), bare_host.uri)
    target = collected.target("lab")
    since = collected.mark()
    bare_host.daemon.virsh("net-destroy", "lab")
    collected.event(target, "network.stopped", since=since)
